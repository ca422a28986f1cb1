import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DirectIo } from '../../src/shared/memory/journal-memory.ts'
import { CountingDisk } from '../support/counting-disk.ts'
import { runCrashes } from '../support/crash-run.ts'
import { Random } from '../support/random.ts'
import type { DiskFault } from '../support/simulated-fault.ts'
import { Clock, SIMULATED_OPTIONS, SimulatedShard } from '../support/simulated-shard.ts'

const SEEDS = Number(process.env['VARVE_SEEDS'] ?? 40)
const FIRST_SEED = Number(process.env['VARVE_SEED'] ?? 1)
const ENGINE = { directIo: true }
/** How many operations of a kind each fail once. */
const FAULTS = { write: 40, sync: 40, openDirect: 12 } as const

const direct = suite('integrity/direct-io')

direct('a crash at any operation loses nothing that was answered or read', () => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed += 1) {
    run(seed, { directIo: true })
  }
})

direct('oversize blocks that ask for a larger file survive crashes as others do', () => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed += 1) {
    run(seed, { directIo: seed % 2 === 0 }, { largeBytes: 70_000 })
  }
})

direct('what an earlier use left in a journal file is never read', () => {
  let reused = 0
  const small = { journalFileBytes: 16 * 1024, journalBytesMax: 64 * 1024 }
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed += 1) {
    const disk = run(seed, { ...small, directIo: seed % 2 === 0 }, { lives: 6, operationsMax: 900 })
    reused += disk.reused
  }
  assert.ok(reused > SEEDS, `journal files were used again ${reused} times`)
})

for (const code of ['EIO', 'ENOSPC', 'EINVAL'] as const) {
  direct(`whichever operation fails with ${code}, nothing answered is lost`, () => {
    for (const operation of ['write', 'sync', 'openDirect'] as const) {
      for (let at = 1; at <= FAULTS[operation]; at += 1) {
        const lasts = code !== 'ENOSPC' && at % 3 === 0 // a disk that stays full only waits
        run(at, ENGINE, { fault: { operation, at, code, lasts }, lives: 2 })
      }
    }
  })
}

direct(
  'a file that will not be opened directly is written through the cache, and so are all after',
  () => {
    // The probe and the first journal file are opened before it.
    const { disk, shard } = filled({ operation: 'openDirect', at: 3, code: 'EINVAL' })
    assert.is(shard.directIo, DirectIo.Unavailable)
    assert.is(disk.direct, 1)
    assert.ok(disk.buffered >= 2, `${disk.buffered} files were opened to write`)
    assert.is(shard.read('s').length, APPENDS)
  },
)

direct('a write that is refused is done again through the cache', () => {
  const { shard } = filled(undefined, { directWritesLeft: 20 })
  assert.is(shard.directIo, DirectIo.Unavailable)
  assert.is(shard.read('s').length, APPENDS)
})

direct('a write that fails otherwise is a failure of the disk, not of direct I/O', () => {
  const { shard } = filled(undefined, { directWritesLeft: 20, errno: 'EIO' })
  assert.is(shard.directIo, DirectIo.On)
  assert.ok(shard.hasFailed)
})

direct('without faults every block goes out directly', () => {
  const { disk, shard } = filled(undefined)
  assert.is(shard.directIo, DirectIo.On)
  assert.equal([disk.direct > 2, disk.buffered], [true, 0])
})

const APPENDS = 60

/** A shard with so many appends, over several journal files, some blocks oversize. */
function filled(
  fault: DiskFault | undefined,
  broken: Partial<Pick<CountingDisk, 'directWritesLeft' | 'errno'>> = {},
) {
  const disk = Object.assign(new CountingDisk(new Random(7)), broken)
  const options = { ...SIMULATED_OPTIONS, ...ENGINE }
  disk.fault = fault
  const shard = new SimulatedShard(disk, new Random(7), new Clock(), options)
  for (let count = 0; count < APPENDS; count += 1) {
    shard.append('s', ['x'.repeat(count % 20 === 0 ? 9000 : 3000)], () => undefined)
    shard.settle()
  }
  return { disk, shard }
}

function run(
  seed: number,
  engine: { readonly directIo: boolean },
  options: {
    readonly fault?: DiskFault
    readonly largeBytes?: number
    readonly lives?: number
    readonly operationsMax?: number
  } = {},
): CountingDisk {
  const { fault, ...others } = options
  const disks: CountingDisk[] = []
  const disk = (random: Random) => {
    const made = new CountingDisk(random)
    made.fault = fault // from the first operation on
    disks.push(made)
    return made
  }
  try {
    runCrashes(seed, { ...others, engine, disk })
  } catch (error) {
    if (error instanceof Error) error.message = `seed ${seed} ${JSON.stringify(options)}: ${error}`
    throw error
  }
  return disks[0] as CountingDisk
}

direct.run()
