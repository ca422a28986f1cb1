import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type CrashRunOptions, runCrashes } from '../support/crash-run.ts'
import { rejectFailures, runSeeds } from '../support/seed-runner.ts'
import type { DiskDefects } from '../support/simulated-disk.ts'

/** .ci/run walks over 6,000 more. */
const SEEDS = Number(process.env['VARVE_SEEDS'] ?? 4_000)
const FIRST_SEED = Number(process.env['VARVE_SEED'] ?? 1)

const crash = suite('integrity/crash')

crash('a crash at any disk operation loses nothing that was answered or read', async () => {
  const report = await runSeeds('engine', FIRST_SEED, SEEDS)
  rejectFailures(report)
  assert.ok(report.answered > 10 * SEEDS, `${report.answered} answered`)
  assert.ok(report.barriers > SEEDS, `${report.barriers} barriers answered`)
  assert.ok(report.nested > SEEDS / 10, `${report.nested} crashes inside a recovery`)
  assert.ok(report.reshards > SEEDS / 10, `${report.reshards} changes of the number of shards`)
})

crash('a failed sync is final, and what was answered before it survives', () => {
  for (let at = 1; at <= 200; at += 1) {
    runSeed(at, { fault: { operation: 'sync', at, code: at % 2 === 0 ? 'EIO' : 'ENOSPC' } })
  }
})

crash('a failed write never leads to a false answer', () => {
  for (let at = 1; at <= 200; at += 1) {
    runSeed(at, { fault: { operation: 'write', at, code: at % 2 === 0 ? 'EIO' : 'ENOSPC' } })
  }
})

crash('a disk whose sync does nothing is noticed', () => {
  assert.ok(noticedWithin(200, { noSync: true }))
})

crash('a disk whose directory sync does nothing is noticed', () => {
  assert.ok(noticedWithin(500, { noDirectorySync: true }))
})

function noticedWithin(seeds: number, defects: DiskDefects): boolean {
  for (let seed = 1; seed <= seeds; seed += 1) {
    try {
      runCrashes(seed, { defects })
    } catch {
      return true
    }
  }
  return false
}

function runSeed(seed: number, options: CrashRunOptions): void {
  try {
    runCrashes(seed, options)
  } catch (error) {
    if (error instanceof Error)
      error.message = `seed ${seed} ${JSON.stringify(options)}: ${error.message}`
    throw error
  }
}

crash.run()
