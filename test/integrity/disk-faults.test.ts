import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type CrashRunOptions, runCrashes } from '../support/crash-run.ts'
import type { DiskFault } from '../support/simulated-fault.ts'

/** Of histories that use every kind of operation, with and without direct appends. */
const SEEDS = { once: 2, lasts: 11 }
const HISTORY = { turns: 40, reshardChance: 0 }
/** A short one, in which each start changes the number of shards. */
const RESHARD = { turns: 10, reshardChance: 1 }
/** More than the history has. */
const POSITIONS_MAX = 4000

const faults = suite('integrity/disk-faults')

for (const code of ['EIO', 'ENOSPC', 'EROFS', 'EMFILE'] as const) {
  for (const lasts of [false, true]) {
    const how = lasts ? 'from some operation on' : 'at one operation'
    faults(`whichever one it is, ${code} ${how} loses nothing that was answered`, () => {
      failEach(lasts ? SEEDS.lasts : SEEDS.once, HISTORY, { code, lasts })
    })
  }
}

faults('whichever one of a change of the number of shards fails, nothing is lost', () => {
  for (const lasts of [false, true]) failEach(1, RESHARD, { code: 'EIO', lasts })
})

/** One after the other, each operation of the second life. */
function failEach(
  seed: number,
  history: CrashRunOptions,
  how: Pick<DiskFault, 'code' | 'lasts'>,
): void {
  for (let at = 1; at < POSITIONS_MAX; at += 1) {
    if (failAt(seed, history, { operation: 'any', at, ...how }) === 0) {
      return assert.ok(at > 150, `the history has ${at} operations`)
    }
  }
  assert.unreachable('the history ends')
}

/** How many operations failed. */
function failAt(seed: number, history: CrashRunOptions, fault: DiskFault): number {
  const options = {
    fault,
    lives: 2,
    ...history,
    isStopped: true,
    operationsMax: Number.POSITIVE_INFINITY,
  }
  try {
    return runCrashes(seed, options).hits
  } catch (error) {
    if (error instanceof Error)
      error.message = `seed ${seed} ${JSON.stringify(options)}: ${error.message}`
    throw error
  }
}

faults.run()
