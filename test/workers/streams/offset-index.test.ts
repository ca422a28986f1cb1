import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { INDEX_PAGE_ENTRIES, indexEntry } from '../../../src/shared/format/index-page.ts'
import { CHECKPOINT_RECORD_BYTES } from '../../../src/shared/format/checkpoint.ts'
import { extendIndex, lookUp } from '../../../src/workers/streams/offset-index.ts'
import { SegmentIndex } from '../../../src/workers/streams/segment-index.ts'
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
    const found = view(indexed()).checkpointAtOrBelow(ordinal)
    const place = expected === undefined ? undefined : [expected, positionOf(expected)]
    const position = found && found.position + CHECKPOINT_RECORD_BYTES
    assert.equal(found && [found.offset, position], place)
  })
}

index('checkpoints are given from any record on, as far as there are', () => {
  const found = [...view(indexed()).checkpointsFrom(11)]
  assert.equal(found, CHECKPOINTS.slice(1))
})

function view(disk: FlatDisk): SegmentIndex {
  const bytes = positionOf(COUNT)
  const segment = { number: 0, firstOffset: 0, nextOffset: COUNT, bytes, endsWithCheckpoint: false }
  return new SegmentIndex(disk, DIRECTORY, segment, position => (position - 1000) / 50)
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
