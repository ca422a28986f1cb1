import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CHECKPOINT_RECORD_BYTES } from '../../../src/shared/format/checkpoint.ts'
import type { Mutation, ShardOptions } from '../../../src/shared/protocol/shard.ts'
import { DiskError } from '../../../src/workers/disk/disk.ts'
import { verifyStore } from '../../support/inspected-store.ts'
import { Random } from '../../support/random.ts'
import { Crash, SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock, SIMULATED_OPTIONS, SimulatedShard } from '../../support/simulated-shard.ts'

const SEEDS = Number(process.env['VARVE_SEEDS'] ?? 100)
const FIRST_SEED = Number(process.env['VARVE_SEED'] ?? 1)
const LIVES = 4
/** Segments are short, so that they roll and are trimmed. */
const OPTIONS: ShardOptions = {
  ...SIMULATED_OPTIONS,
  defaultConfig: {
    ...SIMULATED_OPTIONS.defaultConfig,
    maxSegmentBytes: 2000 + CHECKPOINT_RECORD_BYTES,
    checkpointEvery: 5,
  },
}

/** Works on a store until its disk crashes: appends, deletes, trims, checkpoints. */
function live(disk: SimulatedDisk, random: Random, clock: Clock, directBytes: number): void {
  const shard = new SimulatedShard(disk, random, clock, { ...OPTIONS, directBytes })
  for (let turn = 0; turn < 150; turn += 1) {
    const stream = random.pick(['a', 'b', 'c'])
    const ignore = (): void => undefined
    if (random.chance(0.5)) shard.append(stream, ['x'.repeat(random.below(900))], ignore)
    const change = (mutation: Mutation) => shard.mutate(mutation, Buffer.alloc(0), ignore)
    if (random.chance(0.05)) change({ kind: 'delete', stream })
    if (random.chance(0.05)) change({ kind: 'checkpoint', stream })
    if (random.chance(0.1)) change({ kind: 'trim', stream, before: random.below(30) })
    shard.step()
  }
  if (random.chance(0.3)) shard.stop()
}

/** @throws an assertion error when a store that only crashed is said to be damaged */
function runSeed(seed: number): void {
  const random = new Random(seed)
  const disk = new SimulatedDisk(random)
  const clock = new Clock()
  new SimulatedShard(disk, random, clock).stop()
  for (let life = 0; life < LIVES; life += 1) {
    disk.crashAt = disk.operations + random.below(400)
    try {
      live(disk, random, clock, seed % 2 === 0 ? 500 : 0) // every other one goes direct
    } catch (error) {
      if (!(error instanceof Crash || error instanceof DiskError)) throw error
    }
    if (random.chance(0.7)) disk.cutPower()
    else disk.kill()
    assert.equal(verifyStore(disk).damages, [], `seed ${seed}, life ${life}`)
  }
}

const crashed = suite('workers/inspection/crashed-store')

crashed('a store that crashed at any disk operation is not said to be damaged', () => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed += 1) runSeed(seed)
})

crashed.run()
