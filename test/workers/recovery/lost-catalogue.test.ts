import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  catalogueCopyPath,
  cataloguePath,
  journalPath,
  manifestPath,
  parentPath,
} from '../../../src/shared/format/paths.ts'
import type { RepairReport } from '../../../src/shared/protocol/inspection.ts'
import { listJournalFiles } from '../../../src/workers/journal/journal-files.ts'
import { type RecoveredShard, recoverShard } from '../../../src/workers/recovery/open-shard.ts'
import { repairDirectory } from '../../../src/workers/repair/repair.ts'
import { changedStore } from '../../support/changed-store.ts'
import type { FlatDisk } from '../../support/flat-disk.ts'
import {
  directStore,
  referencedStore,
  segmentOf,
  SMALL_OPTIONS,
  smallStore,
  StoreMaker,
  verifyStore,
} from '../../support/inspected-store.ts'
import { Random } from '../../support/random.ts'
import { Clock } from '../../support/simulated-shard.ts'

const COPIES = [cataloguePath(0), catalogueCopyPath(0)]

const lost = suite('workers/recovery/lost-catalogue')

lost('a shard that lost both copies of its catalogue serves its streams, and takes nothing', () => {
  const { disk } = lostStore()
  const before = disk.paths().map(path => disk.content(path))
  const { refused, journal, table } = recover(disk)
  assert.match(refused ?? '', /the catalogue and its second copy are damaged or lost/)
  assert.is(journal, null)
  assert.equal(endsOf(table), { orders: 18, 'b/ü': 4, new: 2 })
  const after = disk.paths().map(path => disk.content(path))
  assert.equal(after, before, 'nothing is written')
})

lost('a rebuilt stream ends as it did, in hashes and segments', () => {
  const { disk } = smallStore()
  const sound = recover(disk.copy())
  for (const path of COPIES) disk.remove(path)
  const rebuilt = recover(disk)
  for (const log of sound.table.all()) {
    const found = rebuilt.table.byId(log.id)
    assert.equal(found?.info(), log.info())
    assert.is(found?.recordHash, log.recordHash)
    assert.equal(found?.position, log.position)
  }
})

lost('a stream that ends with the checkpoint of a change is as old as that checkpoint', () => {
  const { disk } = changedStore().copy()
  const times = timesOf(recover(disk.copy()))
  for (const path of COPIES) disk.remove(path)
  assert.equal(timesOf(recover(disk)), times)
})

lost('a repair writes a new catalogue, states the loss, and the next start is whole', () => {
  const { disk, bodies } = lostStore()
  const { losses } = repair(disk)
  assert.match(losses[0]?.reason ?? '', /the state of producers .* deletes and trims/)
  const { report, damages, notes } = verifyStore(disk)
  assert.equal([report?.ok, damages], [true, []])
  assert.ok(notes.some(({ file }) => file === 'losses.json'))
  const { refused, table } = recover(disk)
  assert.is(refused, null)
  const ends = [...bodies].map(([name, all]) => [name, all.length])
  assert.equal(endsOf(table), Object.fromEntries(ends))
  assert.equal(repair(disk).reasons, [])
})

lost('a repair says which stream only its segments tell of', () => {
  const maker = new StoreMaker()
  maker.append('old', 3)
  maker.store()
  for (let round = 0; round < 40; round += 1) {
    maker.append('new', 10)
    maker.store()
  }
  const { disk } = maker.copy()
  for (const path of COPIES) disk.remove(path)
  const { losses } = repair(disk)
  const stated = losses.filter(({ stream }) => stream !== null)
  assert.equal(
    stated.map(({ stream, reason }) => [stream, reason]),
    [['old', 'only its segments tell that it ends at offset 3']],
  )
  assert.is(verifyStore(disk).report?.ok, true)
})

lost('records that went straight to a segment are in the rebuilt stream', () => {
  const disk = referencedStore()
  for (const path of COPIES) disk.remove(path)
  const { table } = recover(disk)
  assert.equal(endsOf(table), { orders: 4 })
  repair(disk)
  assert.is(verifyStore(disk).report?.ok, true)
})

lost('a stream that was trimmed before a large append rolled its segment is not refused', () => {
  const maker = directStore()
  maker.append('orders', 5)
  maker.trim('orders', 3)
  // The journal file of the trim is freed.
  for (let round = 0; round < 40; round += 1) {
    maker.append('others', 10)
    maker.store()
  }
  for (let count = 0; count < 9; count += 1) maker.appendBody('orders', 'x'.repeat(400))
  maker.journal()
  maker.appendBody('orders', 'x'.repeat(600))
  maker.journalReference()
  const { disk } = maker.copy()
  for (const path of COPIES) disk.remove(path)
  const log = recover(disk).table.durable('orders')
  assert.equal([log?.durableFirstOffset, log?.durableNextOffset], [3, 16])
})

lost('records of a segment that the journal contradicts are not those of the stream', () => {
  const sound = smallStore().disk
  const { disk } = lostStore()
  // What a crash between a large append and its frame leaves behind the end of the segment.
  const active = segmentOf(disk, 'b', -1)
  const whole = disk.content(active)
  disk.change(active, bytes => Buffer.concat([bytes, whole]))
  const { table } = recover(disk)
  assert.equal(endsOf(table), endsOf(recover(sound).table))
})

lost('damage in the middle of a segment costs its records alone', () => {
  const { disk } = lostStore()
  disk.change(segmentOf(disk, 'b', 0), bytes => void (bytes[100] = (bytes[100] as number) ^ 1))
  assert.equal(endsOf(recover(disk).table), { orders: 18, 'b/ü': 4, new: 2 })
  repair(disk)
  const { report, notes } = verifyStore(disk)
  assert.is(report?.ok, true)
  assert.ok(notes.some(({ stream, offsets }) => stream === 'b/ü' && offsets?.[0] === 1))
})

lost('a stream that lost its manifest too is named by its id, for no file tells its state', () => {
  const { disk } = lostStore()
  const directory = parentPath(segmentOf(disk, 'orders', 0))
  disk.remove(manifestPath(directory))
  assert.equal(endsOf(recover(disk).table), { 'b/ü': 4, new: 2 })
  const ids = repair(disk).losses.map(({ streamId }) => streamId)
  assert.ok(ids.includes(directory.slice(-32)))
  assert.is(verifyStore(disk).report?.ok, true)
})

lost('a rebuilt stream keeps what was signed of its configuration and its end', () => {
  const maker = new StoreMaker()
  for (const stream of ['configured', 'closed', 'trimmed']) maker.append(stream, 9)
  maker.configure('configured', { checkpointEvery: 5 })
  maker.store()
  maker.trim('trimmed', 7)
  maker.close('closed')
  for (let round = 0; round < 6; round += 1) maker.store()
  maker.configure('trimmed', { checkpointEvery: 6 })
  maker.journal()
  const { disk } = maker.copy()
  for (const path of COPIES) disk.remove(path)
  const { table } = recover(disk)
  assert.equal(
    [...table.all()].map(log => table.durable(log.name)?.fault),
    [null, null, null],
  )
  assert.is(table.durable('closed')?.info().state, 'closed')
  assert.is(table.durable('trimmed')?.durableFirstOffset, 7)
  repair(disk)
  assert.is(verifyStore(disk).report?.ok, true)
})

lost('a stream that the journal deletes stays deleted', () => {
  const maker = new StoreMaker()
  maker.append('gone', 3)
  maker.append('kept', 3)
  maker.store()
  maker.delete('gone')
  maker.journal()
  const { disk } = maker.copy()
  for (const path of COPIES) disk.remove(path)
  assert.equal(endsOf(recover(disk).table), { kept: 3 })
})

lost('a trim in the journal holds for a rebuilt stream', () => {
  const maker = new StoreMaker()
  maker.append('orders', 12)
  maker.store()
  maker.trim('orders', 7)
  maker.journal()
  const { disk } = maker.copy()
  for (const path of COPIES) disk.remove(path)
  const [log] = recover(disk).table.all()
  assert.equal([log?.durableFirstOffset, log?.durableNextOffset], [7, 12])
})

lost('a damaged journal beside a lost catalogue costs what was in it alone', () => {
  const { disk } = lostStore()
  disk.remove(journalPath(0, listJournalFiles(disk, 0).at(-1) ?? 0))
  const { refused, table } = recover(disk)
  assert.match(refused ?? '', /catalogue.*; journal file/)
  assert.is(endsOf(table)['b/ü'], 4)
  repair(disk)
  assert.is(verifyStore(disk).report?.ok, true)
})

lost('two copies that are damaged at different places are whole together', () => {
  const { disk } = smallStore()
  const whole = disk.content(cataloguePath(0))
  disk.change(cataloguePath(0), bytes => void (bytes[60] = (bytes[60] as number) ^ 1))
  disk.change(catalogueCopyPath(0), bytes => void (bytes[700] = (bytes[700] as number) ^ 1))
  assert.equal(verifyStore(disk).damages, [])
  const { refused, report } = recover(disk)
  assert.is(refused, null)
  assert.equal(report?.rebuilt, COPIES)
  for (const path of COPIES) assert.equal(disk.content(path).subarray(0, whole.length), whole)
})

function lostStore() {
  const { disk, bodies } = smallStore()
  for (const path of COPIES) disk.remove(path)
  return { disk, bodies }
}

function recover(disk: FlatDisk): RecoveredShard {
  return recoverShard(disk, environment(), 0, SMALL_OPTIONS)
}

function repair(disk: FlatDisk): RepairReport {
  const request = { kind: 'repair', data: '', apply: true, commit: [], abort: [] } as const
  return repairDirectory(disk, environment(), request)
}

function environment() {
  return new Clock().environment(new Random(5))
}

function timesOf({ table }: RecoveredShard): Record<string, number> {
  return Object.fromEntries([...table.all()].map(log => [log.name, log.lastTimestamp]))
}

function endsOf(table: RecoveredShard['table']): Record<string, number> {
  return Object.fromEntries([...table.all()].map(log => [log.name, log.durableNextOffset]))
}

lost.run()
