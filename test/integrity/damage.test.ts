import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { rejectFailures, runSeeds } from '../support/seed-runner.ts'

const SEEDS = Number(process.env['VARVE_SEEDS'] ?? 1000)
const FIRST_SEED = Number(process.env['VARVE_SEED'] ?? 1)

const damage = suite('integrity/damage')

damage('what a disk lost or took back is named or rebuilt, and hurts no other stream', async () => {
  const report = await runSeeds('damage', FIRST_SEED, SEEDS)
  rejectFailures(report)
  assert.ok(report.refused > SEEDS / 50, `${report.refused} refused`)
  assert.ok(report.named > SEEDS / 20, `${report.named} with a range that is named as lost`)
})

damage.run()
