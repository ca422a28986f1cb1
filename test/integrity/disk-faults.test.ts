import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { runCrashes } from '../support/crash-run.ts'
import type { DiskFault } from '../support/simulated-fault.ts'

/** Of histories that use every kind of operation, with and without direct appends. */
const SEEDS = { once: 4, lasts: 5 }
/** More than the history has. */
const POSITIONS_MAX = 4000

const faults = suite('integrity/disk-faults')

for (const code of ['EIO', 'ENOSPC', 'EROFS', 'EMFILE'] as const) {
  for (const lasts of [false, true]) {
    const how = lasts ? 'from some operation on' : 'at one operation'
    faults(`whichever one it is, ${code} ${how} loses nothing that was answered`, () => {
      for (let at = 1; at < POSITIONS_MAX; at += 1) {
        if (failAt({ operation: 'any', at, code, lasts }) === 0) {
          return assert.ok(at > 200, `the history has ${at} operations`)
        }
      }
      assert.unreachable('the history ends')
    })
  }
}

/** How many operations failed. */
function failAt(fault: DiskFault): number {
  const options = {
    fault,
    lives: 2,
    turns: 60,
    isStopped: true,
    operationsMax: Number.POSITIVE_INFINITY,
  }
  try {
    return runCrashes(fault.lasts === true ? SEEDS.lasts : SEEDS.once, options).hits
  } catch (error) {
    if (error instanceof Error) error.message = `${JSON.stringify(fault)}: ${error.message}`
    throw error
  }
}

faults.run()
