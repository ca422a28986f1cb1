import { PAGE_BYTES } from '../../../src/shared/limits.ts'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  catalogueCopyPath,
  cataloguePath,
  journalPath,
  newestCopyPath,
  newestPath,
  shardPath,
} from '../../../src/shared/format/paths.ts'
import { listJournalFiles, readNewest } from '../../../src/workers/journal/journal-files.ts'
import { recoverShard, ShardRecovery } from '../../../src/workers/recovery/open-shard.ts'
import { FlatDisk } from '../../support/flat-disk.ts'
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
  const newest = readNewest(disk, 0)?.file ?? 0
  disk.remove(journalPath(0, newest))
  const before = contents(disk)
  const { refused, table } = open(disk)
  assert.is(refused, `journal file ${newest} is missing`)
  assert.is(table.durable('a')?.durableNextOffset, 6, 'what is stored is served')
  assert.equal(contents(disk), before, 'nothing is written')
})

recovery('a lost journal file in front of a prepared one is not taken for the end', () => {
  const { disk, lost } = storeWithPrepared()
  disk.remove(journalPath(0, lost))
  const before = contents(disk)
  for (const start of ['the first start', 'the second start']) {
    assert.match(open(disk).refused ?? '', new RegExp(`journal file ${lost} is missing`), start)
    assert.equal(contents(disk), before, 'the evidence stays')
  }
})

recovery('a damaged or lost note of the newest file is written again by its copy', () => {
  for (const path of [newestPath(0), newestCopyPath(0)]) {
    for (const damage of [flipped, removed]) {
      const disk = storeOf(6, 2)
      damage(disk, path)
      const { refused, table, report } = open(disk)
      assert.is(refused, null)
      assert.is(table.durable('a')?.durableNextOffset, 8)
      assert.equal(report?.rebuilt, [path])
      assert.equal(readNewest(disk, 0)?.damaged, [])
    }
  }
})

recovery('a journal without both notes of its newest file is refused', () => {
  const disk = storeOf(6, 2)
  disk.remove(newestPath(0))
  flipped(disk, newestCopyPath(0))
  const before = contents(disk)
  assert.match(open(disk).refused ?? '', /newest\.json/)
  assert.equal(contents(disk), before)
})

recovery('a journal directory that was rolled back to an older copy is refused', () => {
  const disk = storeOf(6, 2)
  const older = disk.copy()
  open(disk)
  const rolledBack = replaceBelow(disk, `${shardPath(0)}/`, older)
  assert.match(open(rolledBack).refused ?? '', /journal file \d+ is missing/)
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

recovery('a damaged, lost or rolled back catalogue is made anew from its second copy', () => {
  const maker = new StoreMaker()
  maker.append('a', 2)
  maker.store()
  const older = maker.copy().disk
  maker.append('a', 4)
  maker.store()
  const store = maker.copy().disk
  const rolledBack = (disk: FlatDisk, path: string) => disk.put(path, older.content(path))
  for (const path of [cataloguePath(0), catalogueCopyPath(0)]) {
    for (const damage of [flipped, removed, rolledBack]) {
      const disk = store.copy()
      const sound = disk.content(path)
      damage(disk, path)
      const { refused, table, report } = open(disk)
      assert.is(refused, null)
      assert.is(table.durable('a')?.durableNextOffset, 6)
      assert.equal(report?.rebuilt, [path])
      assert.equal(disk.content(path), sound)
    }
  }
})

recovery('a catalogue whose copies are both damaged is refused, and nothing is written', () => {
  const disk = storeOf(6, 2)
  for (const path of [cataloguePath(0), catalogueCopyPath(0)]) flipped(disk, path)
  const before = contents(disk)
  assert.match(open(disk).refused ?? '', /the catalogue and its second copy are damaged or lost/)
  assert.equal(contents(disk), before)
})

recovery('a journal file that is older than the catalogue is refused', () => {
  const maker = new StoreMaker()
  maker.append('a', 2)
  maker.journal()
  const older = maker.copy().disk
  maker.append('a', 2)
  maker.store()
  const { disk } = maker.copy()
  const files = listJournalFiles(disk, 0).map(number => journalPath(0, number))
  const shared = files.filter(path => older.paths().includes(path))
  for (const path of shared) disk.put(path, older.content(path))
  assert.ok(shared.length > 0)
  assert.match(open(disk).refused ?? '', /it is an older copy|is not there|was durable/)
})

recovery('a full disk leaves everything readable, and room lets the epoch begin', () => {
  const disk = new FullDisk(storeOf(6, 2))
  const environment = new Clock().environment(new Random(3))
  const begun = ShardRecovery.read(disk, environment, 0, SMALL_OPTIONS)
  begun.settle()
  assert.is(begun.refused, null)
  assert.is(begun.state.table.durable('a')?.durableNextOffset, 8)
  for (const path of disk.paths()) if (path.endsWith('.spare')) disk.remove(path)
  for (let attempt = 0; attempt < 2; attempt += 1) {
    assert.throws(() => begun.begin(), /ENOSPC/)
  }
  disk.free = 1e9
  assert.is(begun.begin().report.records, 2)
  assert.is(open(disk).table.durable('a')?.durableNextOffset, 8, 'the next start finds it')
})

/** A disk without room. */
class FullDisk extends FlatDisk {
  free = 0

  constructor(from: FlatDisk) {
    super(new Map(from.paths().map(path => [path, from.content(path)])))
  }

  override freeBytes(): number {
    return this.free
  }
}

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

/** A store whose next journal file is prepared, and the file before it, which holds its blocks. */
function storeWithPrepared(): { disk: FlatDisk; lost: number } {
  const maker = new StoreMaker()
  maker.append('a', 6)
  maker.journal()
  const before = listJournalFiles(maker.copy().disk, 0).at(-1) ?? 0
  maker.journalReference() // prepares the next file, among others
  const { disk } = maker.copy()
  const files = listJournalFiles(disk, 0)
  assert.is(files.at(-1), before + 1, 'a next file is prepared')
  return { disk, lost: before }
}

function flipped(disk: FlatDisk, path: string): void {
  disk.change(path, bytes => {
    bytes[20] = (bytes[20] as number) ^ 1
  })
}

function removed(disk: FlatDisk, path: string): void {
  disk.remove(path)
}

/** The disk with everything below a path as it is on another one. */
function replaceBelow(disk: FlatDisk, prefix: string, other: FlatDisk): FlatDisk {
  const mixed = disk.copy()
  for (const path of mixed.paths()) if (path.startsWith(prefix)) mixed.remove(path)
  for (const path of other.paths()) {
    if (path.startsWith(prefix)) mixed.put(path, other.content(path))
  }
  return mixed
}

function open(disk: FlatDisk) {
  const environment = new Clock().environment(new Random(3))
  return recoverShard(disk, environment, 0, SMALL_OPTIONS)
}

function contents(disk: FlatDisk): readonly (readonly [string, string])[] {
  return disk.paths().map(path => [path, disk.content(path).toString('latin1')] as const)
}

recovery.run()
