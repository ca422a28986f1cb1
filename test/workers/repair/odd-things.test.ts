import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { manifestPath, parentPath, shardPath } from '../../../src/shared/format/paths.ts'
import { KIB } from '../../../src/shared/limits.ts'
import type { RepairReport } from '../../../src/shared/protocol/inspection.ts'
import type { Disk } from '../../../src/workers/disk/disk.ts'
import { recoverShard } from '../../../src/workers/recovery/open-shard.ts'
import { repairDirectory } from '../../../src/workers/repair/repair.ts'
import { segmentOf, SMALL_OPTIONS, StoreMaker, verifyStore } from '../../support/inspected-store.ts'
import { Random } from '../../support/random.ts'
import { onRealDisk, type RealStore } from '../../support/real-disk.ts'
import { Clock } from '../../support/simulated-shard.ts'

/** All blocks of a test fit one file. */
const OPTIONS = { ...SMALL_OPTIONS, journalFileBytes: 96 * KIB }
const RECORDS = 6
const LAST = -1

const odd = suite('workers/repair/odd-things')

odd('a missing directory of a stream does not stop the repair of the others', () => {
  const { disk: flat } = store().copy()
  const [lost, other] = [segmentOf(flat, 'a', 0), segmentOf(flat, 'b', 0)]
  onRealDisk(flat, real => {
    real.remove(parentPath(lost))
    real.remove(manifestPath(parentPath(other)))
    repairsAllBut('a', real)
  })
})

odd('a file in the place of a directory of a stream does not stop the repair', () => {
  const { disk: flat } = store().copy()
  onRealDisk(flat, real => {
    real.makeFile(parentPath(segmentOf(flat, 'a', 0)))
    repairsAllBut('a', real)
    assert.ok(inQuarantine(real.disk).some(name => /--a-[0-9a-f]+$/.test(name)))
  })
})

for (const [name, index] of [
  ['a sealed segment', 1],
  ['the active segment', LAST],
] as const) {
  odd(`${name} that a directory replaced is stated, and set aside`, () => {
    const { disk: flat } = store().copy()
    const path = segmentOf(flat, 'a', index)
    onRealDisk(flat, real => {
      real.makeDirectory(path)
      assert.is(verifyStore(real.disk).report?.ok, false)
      const { losses } = repairsAllBut('a', real)
      assert.match(losses[0]?.reason ?? '', /cannot be read: EISDIR/)
      assert.ok(inQuarantine(real.disk).includes(path.replaceAll('/', '--')))
    })
  })
}

odd('a shard whose directory is missing is repaired from the copies and the segments', () => {
  const { disk: flat } = store().copy()
  onRealDisk(flat, real => {
    real.remove(shardPath(0))
    const { reasons, losses } = run(real.disk)
    assert.match(reasons.join(), /journal files? .* missing/)
    assert.equal(
      losses.map(({ stream, firstOffset }) => [stream, firstOffset]),
      [[null, null]],
    )
    assert.is(verifyStore(real.disk).report?.ok, true)
  })
})

odd('a manifest that a directory replaced is made again', () => {
  const { disk: flat } = store().copy()
  onRealDisk(flat, real => {
    real.makeDirectory(manifestPath(parentPath(segmentOf(flat, 'a', 0))))
    assert.equal(repairsAllBut(undefined, real).losses, [])
  })
})

odd('an older manifest put back is made again, without a loss', () => {
  const maker = store()
  const older = maker.copy().disk
  const path = manifestPath(parentPath(segmentOf(older, 'a', 0)))
  maker.append('a', RECORDS)
  maker.store()
  const { disk } = maker.copy()
  disk.put(path, older.content(path))
  onRealDisk(disk, real => assert.equal(repairsAllBut(undefined, real).losses, []))
})

/** Six records each of `a` and `b`, in several segments. */
function store(): StoreMaker {
  const maker = new StoreMaker(OPTIONS)
  for (const stream of ['a', 'b']) maker.append(stream, RECORDS)
  maker.store()
  return maker
}

/** Repairs, and checks that losses are stated of one stream alone and that the rest is sound. */
function repairsAllBut(stream: string | undefined, { disk }: RealStore): RepairReport {
  const report = run(disk)
  assert.ok(report.reasons.length > 0 && report.quarantine !== null, 'there was damage')
  assert.equal([...new Set(report.losses.map(loss => loss.stream))], stream ? [stream] : [])
  const { report: verified, damages } = verifyStore(disk)
  assert.equal([verified?.ok, damages], [true, []])
  assert.equal(run(disk).reasons, [], 'nothing is left to repair')
  const environment = new Clock().environment(new Random(3))
  const { refused, table } = recoverShard(disk, environment, 0, OPTIONS)
  assert.is(refused, null)
  for (const log of table.all()) assert.ok(log.durableNextOffset >= RECORDS, log.name)
  return report
}

function run(disk: Disk): RepairReport {
  const environment = new Clock().environment(new Random(5))
  const request = { kind: 'repair', data: '', apply: true, commit: [], abort: [] } as const
  return repairDirectory(disk, environment, request)
}

function inQuarantine(disk: Disk): string[] {
  const directories = disk.list('quarantine').map(name => `quarantine/${name}`)
  return directories.flatMap(path => disk.list(path))
}

odd.run()
