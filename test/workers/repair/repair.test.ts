import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BLOCK_HEADER_BYTES, decodeBlockHeader } from '../../../src/shared/format/block.ts'
import { journalPath, newestCopyPath, newestPath } from '../../../src/shared/format/paths.ts'
import { KIB, PAGE_BYTES } from '../../../src/shared/limits.ts'
import type { RepairReport } from '../../../src/shared/protocol/inspection.ts'
import { listJournalFiles } from '../../../src/workers/journal/journal-files.ts'
import { recoverShard } from '../../../src/workers/recovery/open-shard.ts'
import { repairDirectory } from '../../../src/workers/repair/repair.ts'
import type { FlatDisk } from '../../support/flat-disk.ts'
import {
  checkpointsIn,
  recordsIn,
  segmentOf,
  SMALL_OPTIONS,
  StoreMaker,
  unwrittenStore,
  verifyStore,
} from '../../support/inspected-store.ts'
import { Random } from '../../support/random.ts'
import { Clock } from '../../support/simulated-shard.ts'

/** All blocks of a test fit one file. */
const OPTIONS = { ...SMALL_OPTIONS, journalFileBytes: 96 * KIB }

const repair = suite('workers/repair/repair')

repair('a sound directory is left as it is', () => {
  const { disk } = store().copy()
  const before = contents(disk)
  const report = run(disk, true)
  assert.equal([report.reasons, report.losses, report.quarantine], [[], [], null])
  assert.equal(contents(disk), before)
})

repair('records that could not be written to a segment come out of a repair stored', () => {
  const disk = unwrittenStore()
  for (const path of [newestPath(0), newestCopyPath(0)]) disk.put(path, Buffer.from('?'))
  run(disk, true)
  const { report, damages } = verifyStore(disk)
  assert.equal([report?.ok, damages], [true, []])
  assert.equal(ends(disk), { orders: 4, others: 4 })
})

repair('without --apply it says what it would do, and writes nothing', () => {
  const { disk } = store().copy()
  damageBlockOf(disk, 1)
  const before = contents(disk)
  const report = run(disk, false)
  assert.match(report.reasons.join(), /was durable and is not there/)
  assert.ok(report.losses.length > 0)
  assert.equal(contents(disk), before)
})

repair('what lies behind a damaged block is saved, but for the stream that lost records', () => {
  const { disk } = store().copy()
  damageBlockOf(disk, 1) // record 6 of `a`; record 7 follows it, and two of `b`
  const report = run(disk, true)
  const ranges = report.losses.map(loss => [loss.stream, loss.firstOffset, loss.nextOffset])
  assert.equal(ranges, [
    ['a', 6, 8],
    [null, null, null],
  ])
  assert.equal(ends(disk), { a: 6, b: 2 })
})

repair('verify accepts a repaired directory, and states what was lost', () => {
  const { disk } = store().copy()
  damageBlockOf(disk, 1)
  const { losses, quarantine } = run(disk, true)
  const { report, damages, notes } = verifyStore(disk)
  assert.equal([report?.ok, damages], [true, []])
  const stated = notes.filter(({ file }) => file === 'losses.json')
  assert.equal(
    stated.map(({ offsets }) => offsets),
    [[6, 8], undefined],
  )
  assert.is(stated.length, losses.length)
  assert.ok(disk.paths().some(path => path.startsWith(`${quarantine}/shard-00/`)))
  assert.equal(run(disk, true).reasons, [], 'nothing is left to repair')
})

repair('a journal without its notes is rebuilt without a loss of records', () => {
  const { disk } = store().copy()
  for (const path of [newestPath(0), newestCopyPath(0)]) disk.remove(path)
  run(disk, true)
  assert.equal(ends(disk), { a: 8, b: 2 })
})

repair('a damaged checkpoint is stated without a record, and verify accepts it', () => {
  const maker = new StoreMaker(OPTIONS)
  maker.append('a', 4)
  maker.checkpoint('a')
  maker.append('a', 2)
  maker.store()
  const { disk } = maker.copy()
  disk.change(segmentOf(disk, 'a', 0), bytes => {
    const { at } = checkpointsIn(bytes).find(({ offset }) => offset === 4) ?? { at: 0 }
    bytes[at + 100] = (bytes[at + 100] as number) ^ 1
  })
  assert.is(verifyStore(disk).report?.ok, false)
  const { losses } = run(disk, true)
  assert.equal([losses[0]?.stream, losses[0]?.firstOffset, losses[0]?.nextOffset], ['a', 4, 4])
  assert.is(verifyStore(disk).report?.ok, true)
  assert.equal(ends(disk), { a: 6 })
})

repair('a lost journal file costs what was in it alone', () => {
  const { disk } = store().copy()
  disk.remove(journalPath(0, listJournalFiles(disk, 0).at(-1) ?? 0))
  run(disk, true)
  assert.is(ends(disk)['a'], 6)
  assert.is(verifyStore(disk).report?.ok, true)
})

repair('damaged records of a segment are stated, and stay named to readers', () => {
  const { disk } = store().copy()
  const path = segmentOf(disk, 'a', 0)
  disk.change(path, bytes => {
    const { at } = recordsIn(bytes)[1] ?? { at: 0 }
    bytes[at + 60] = (bytes[at + 60] as number) ^ 1
  })
  assert.is(verifyStore(disk).report?.ok, false)
  const { losses } = run(disk, true)
  assert.equal([losses[0]?.stream, losses[0]?.firstOffset], ['a', 1])
  assert.is(verifyStore(disk).report?.ok, true)
  assert.equal(ends(disk), { a: 8, b: 2 })
})

/** Six records of `a` in segments; two more, and two of `b`, in the journal, a block each. */
function store(): StoreMaker {
  const maker = new StoreMaker(OPTIONS)
  maker.append('a', 6)
  maker.store()
  for (const stream of ['a', 'a', 'b', 'b']) {
    maker.append(stream, 1)
    maker.journal()
  }
  return maker
}

/** Flips a bit in the n-th of the blocks with records that only the journal has, from 1. */
function damageBlockOf(disk: FlatDisk, nth: number): void {
  const path = journalPath(0, listJournalFiles(disk, 0).at(-1) ?? 0)
  disk.change(path, bytes => {
    const blocks: number[] = []
    for (let at = PAGE_BYTES; at < bytes.length; at += PAGE_BYTES) {
      if ((decodeBlockHeader(bytes, at)?.bodyLength ?? 0) > 0) blocks.push(at)
    }
    const at = (blocks.at(nth - 5) ?? 0) + BLOCK_HEADER_BYTES
    bytes[at] = (bytes[at] as number) ^ 1
  })
}

function run(disk: FlatDisk, apply: boolean): RepairReport {
  const environment = new Clock().environment(new Random(5))
  const request = { kind: 'repair', data: '', apply, commit: [], abort: [] } as const
  return repairDirectory(disk, environment, request)
}

/** Where each stream ends after a start. */
function ends(disk: FlatDisk): Record<string, number> {
  const environment = new Clock().environment(new Random(3))
  const { refused, table } = recoverShard(disk.copy(), environment, 0, OPTIONS)
  assert.is(refused, null)
  return Object.fromEntries([...table.all()].map(log => [log.name, log.durableNextOffset]))
}

function contents(disk: FlatDisk): readonly (readonly [string, string])[] {
  return disk.paths().map(path => [path, disk.content(path).toString('latin1')] as const)
}

repair.run()
