import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { INDEX_PAGE_ENTRIES, indexEntry } from '../../../src/shared/format/index-page.ts'
import { indexPath } from '../../../src/shared/format/paths.ts'
import {
  entriesFrom,
  extendIndex,
  findCheckpoint,
  lookUp,
} from '../../../src/workers/streams/offset-index.ts'
import { FlatDisk } from '../../support/flat-disk.ts'

const index = suite('workers/streams/offset-index')

const DIRECTORY = 'd'
const COUNT = 2 * INDEX_PAGE_ENTRIES + 100
/** Records that a checkpoint lies right before. */
const CHECKPOINTS = [10, INDEX_PAGE_ENTRIES - 1, INDEX_PAGE_ENTRIES + 5]

index('a record is found at its position', () => {
  const disk = indexed()
  const ordinals = [0, 1, INDEX_PAGE_ENTRIES, COUNT - 1]
  assert.equal(
    ordinals.map(ordinal => lookUp(disk, DIRECTORY, 0, ordinal)),
    ordinals.map(positionOf),
  )
  assert.is(lookUp(disk, DIRECTORY, 0, COUNT), undefined)
})

for (const [ordinal, expected] of [
  [9, undefined],
  [10, 10],
  [INDEX_PAGE_ENTRIES - 2, 10],
  [INDEX_PAGE_ENTRIES + 4, INDEX_PAGE_ENTRIES - 1],
  [INDEX_PAGE_ENTRIES + 5, INDEX_PAGE_ENTRIES + 5],
  [COUNT - 1, INDEX_PAGE_ENTRIES + 5],
] as const) {
  index(`the nearest checkpoint at or below record ${ordinal} is before ${expected}`, () => {
    const found = findCheckpoint(indexed(), DIRECTORY, 0, ordinal)
    assert.equal(found, expected === undefined ? undefined : checkpointAt(expected))
  })
}

index('a page that does not check, or is not there, is said to be damaged', () => {
  const disk = indexed()
  assert.is(findCheckpoint(disk, DIRECTORY, 0, COUNT), 'damaged')
  disk.change(indexPath(DIRECTORY, 0), bytes => void bytes.fill(1, 4096, 4200))
  assert.is(findCheckpoint(disk, DIRECTORY, 0, COUNT - 1), 'damaged')
  assert.equal(findCheckpoint(disk, DIRECTORY, 0, 20), checkpointAt(10))
  assert.is(findCheckpoint(disk, DIRECTORY, 1, 0), 'damaged')
})

index('entries are given from any record on, as far as there are', () => {
  const found = [...entriesFrom(indexed(), DIRECTORY, 0, INDEX_PAGE_ENTRIES - 1)]
  assert.equal(found[0], [
    INDEX_PAGE_ENTRIES - 1,
    indexEntry(positionOf(INDEX_PAGE_ENTRIES - 1), true),
  ])
  assert.equal([found.length, found.at(-1)?.[0]], [COUNT - INDEX_PAGE_ENTRIES + 1, COUNT - 1])
})

function checkpointAt(ordinal: number) {
  return { ordinal, position: positionOf(ordinal) }
}

function positionOf(ordinal: number): number {
  return 1000 + 50 * ordinal
}

function indexed(): FlatDisk {
  const disk = new FlatDisk()
  disk.makeDirectory(DIRECTORY)
  const entries = Array.from({ length: COUNT }, (_, ordinal) =>
    indexEntry(positionOf(ordinal), CHECKPOINTS.includes(ordinal)),
  )
  extendIndex(disk, DIRECTORY, 0, 0, entries.slice(0, 700))
  extendIndex(disk, DIRECTORY, 0, 700, entries.slice(700))
  return disk
}

index.run()
