import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parentPath } from '../../../src/shared/format/paths.ts'
import { KIB } from '../../../src/shared/limits.ts'
import type { RepairReport } from '../../../src/shared/protocol/inspection.ts'
import { type Disk, DiskError, type FileMode } from '../../../src/workers/disk/disk.ts'
import { recoverShard } from '../../../src/workers/recovery/open-shard.ts'
import { repairDirectory } from '../../../src/workers/repair/repair.ts'
import type { FlatDisk } from '../../support/flat-disk.ts'
import { segmentOf, SMALL_OPTIONS, StoreMaker, verifyStore } from '../../support/inspected-store.ts'
import { Random } from '../../support/random.ts'
import { Clock } from '../../support/simulated-shard.ts'

/** All blocks of a test fit one file. */
const OPTIONS = { ...SMALL_OPTIONS, journalFileBytes: 96 * KIB }
const STORED = 6
const JOURNALED = 2

const bad = suite('workers/repair/bad-streams')

bad('swapped directories of two streams are put back, without a loss', () => {
  const { disk } = store().copy()
  const [a, b] = ['a', 'b'].map(name => parentPath(segmentOf(disk, name, 0))) as [string, string]
  for (const [from, to] of [
    [a, 'swap'],
    [b, a],
    ['swap', b],
  ] as const) {
    disk.rename(from, to)
  }
  assert.is(verifyStore(disk).report?.ok, false)
  const { losses, reasons } = repair(disk)
  assert.equal(losses, [])
  assert.match(reasons.join(), /holds the files of the stream/)
  checkEnds(disk, STORED + JOURNALED)
})

for (const code of ['EACCES', 'EIO']) {
  bad(`${code} on the files of one stream does not end the repair of the others`, () => {
    const { disk: flat } = store().copy()
    flat.remove(segmentOf(flat, 'b', 0)) // what there is to repair
    const directory = parentPath(segmentOf(flat, 'a', 0))
    const disk = partlyBad(flat, directory, code)
    const { unmended, losses, quarantine } = repair(disk)
    assert.ok(quarantine !== null, 'the others are repaired')
    assert.match(unmended.join(), new RegExp(`stream "a".*${code}`))
    const lost = losses.filter(({ stream }) => stream === 'a')
    assert.ok(
      lost.every(loss => (loss.nextOffset ?? 0) <= STORED),
      'the journaled ones are kept',
    )
    const { report } = verifyStore(flat)
    assert.is(report?.ok, true)
    const { refused, table } = recover(flat)
    const ends = ['a', 'b'].map(name => table.durable(name)?.durableNextOffset)
    assert.equal([refused, ends], [null, [STORED + JOURNALED, STORED + JOURNALED]])
  })
}

/** Six records of each stream in several segments, and two in the journal. */
function store(): StoreMaker {
  const maker = new StoreMaker(OPTIONS)
  for (const stream of ['a', 'b']) maker.append(stream, STORED)
  maker.store()
  for (const stream of ['a', 'b']) maker.append(stream, JOURNALED)
  maker.journal()
  return maker
}

/** A disk that fails for every file below one directory of a store. */
function partlyBad(flat: FlatDisk, directory: string, code: string): Disk {
  return new Proxy(flat, {
    get: (target, name) => {
      const found: unknown = Reflect.get(target, name, target)
      if (typeof found !== 'function') return found
      if (name !== 'open')
        return (...args: unknown[]) => Reflect.apply(found, target, args) as unknown
      return (path: string, mode: FileMode) => {
        if (path.startsWith(directory)) throw new DiskError(code, 'open', path)
        return flat.open(path, mode)
      }
    },
  })
}

function checkEnds(disk: FlatDisk, nextOffset: number): void {
  const { report, damages } = verifyStore(disk)
  assert.equal([report?.ok, damages], [true, []])
  const { refused, table } = recover(disk)
  assert.is(refused, null)
  for (const log of table.all()) assert.is(log.durableNextOffset, nextOffset, log.name)
}

function recover(disk: FlatDisk) {
  return recoverShard(disk.copy(), new Clock().environment(new Random(3)), 0, OPTIONS)
}

function repair(disk: Disk): RepairReport {
  const environment = new Clock().environment(new Random(5))
  const request = { kind: 'repair', data: '', apply: true, commit: [], abort: [] } as const
  return repairDirectory(disk, environment, request)
}

bad.run()
