import { PAGE_BYTES } from '../../../src/shared/limits.ts'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { journalPath, newestPath } from '../../../src/shared/format/paths.ts'
import { listJournalFiles, readNewest } from '../../../src/workers/journal/journal-files.ts'
import { recoverShard } from '../../../src/workers/recovery/open-shard.ts'
import type { FlatDisk } from '../../support/flat-disk.ts'
import { SMALL_OPTIONS, StoreMaker } from '../../support/inspected-store.ts'
import { Random } from '../../support/random.ts'
import { Clock } from '../../support/simulated-shard.ts'

const recovery = suite('workers/recovery/open-shard')

recovery('what the journal holds beyond the checkpoint is there again', () => {
  const { refused, table, report } = open(storeOf(6, 2))
  assert.is(refused, null)
  assert.equal([table.durable('a')?.durableNextOffset, report?.records], [8, 2])
})

recovery('a lost newest journal file is refused, not taken for the end', () => {
  const disk = storeOf(6, 2)
  const newest = readNewest(disk, 0) ?? 0
  disk.remove(journalPath(0, newest))
  const before = contents(disk)
  const { refused, table } = open(disk)
  assert.is(refused, `journal file ${newest} is missing`)
  assert.is(table.durable('a')?.durableNextOffset, 6, 'what is stored is served')
  assert.equal(contents(disk), before, 'nothing is written')
})

recovery('a journal without the note of its newest file is refused', () => {
  const disk = storeOf(6, 2)
  disk.remove(newestPath(0))
  assert.match(open(disk).refused ?? '', /newest\.json/)
})

recovery('damage with good blocks after it is refused, never cut', () => {
  const disk = storeOf(6, 2)
  const path = journalPath(0, listJournalFiles(disk, 0).at(-1) ?? 0)
  disk.change(path, bytes => {
    bytes.fill(0xff, PAGE_BYTES, PAGE_BYTES + 600)
  })
  const before = contents(disk)
  assert.match(open(disk).refused ?? '', /was durable and is not there/)
  assert.equal(contents(disk), before)
})

recovery('every start opens a new file with a higher epoch', () => {
  const disk = storeOf(2, 2)
  const first = open(disk)
  const second = open(disk)
  assert.is(second.journal?.file.epoch, (first.journal?.file.epoch ?? 0) + 1)
  assert.is(second.table.durable('a')?.durableNextOffset, 4)
})

/** `stored` records in segments, up to 2 more in the journal alone: a small file holds no more. */
function storeOf(stored: number, journaled: number): FlatDisk {
  const maker = new StoreMaker()
  maker.append('a', stored)
  maker.store()
  for (let added = 0; added < journaled; added += 1) {
    maker.append('a', 1)
    maker.journal()
  }
  return maker.copy().disk
}

function open(disk: FlatDisk) {
  const environment = new Clock().environment(new Random(3))
  return recoverShard(disk, environment, 0, SMALL_OPTIONS)
}

function contents(disk: FlatDisk): readonly (readonly [string, string])[] {
  return disk.paths().map(path => [path, disk.content(path).toString('latin1')] as const)
}

recovery.run()
