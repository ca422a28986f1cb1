import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { StoreDefect } from '../support/simulated-store.ts'
import { rejectFailures, runSeeds } from '../support/seed-runner.ts'
import { runTransactions, type TransactionRunOptions } from '../support/transaction-run.ts'

const SEEDS = Number(process.env['VARVE_SEEDS'] ?? 1000)
const FIRST_SEED = Number(process.env['VARVE_SEED'] ?? 1)
/** Within so many seeds each defect is noticed. */
const CANARY_SEEDS = 1000

const transactions = suite('integrity/transactions')

transactions('a crash at any disk operation leaves no half of a transaction', async () => {
  const report = await runSeeds('transactions', FIRST_SEED, SEEDS)
  rejectFailures(report)
  assert.ok(report.answered > 10 * SEEDS, `${report.answered} answered`)
  assert.ok(report.barriers > SEEDS / 4, `${report.barriers} barriers answered`)
  assert.ok(report.reshards > SEEDS / 4, `${report.reshards} changes of the number of shards`)
})

transactions('a failed sync or write leaves no half of a transaction', async () => {
  for (let at = 1; at <= 100; at += 1) {
    const operation = at % 2 === 0 ? 'sync' : 'write'
    await runSeed(at, { fault: { operation, at, code: at % 3 === 0 ? 'ENOSPC' : 'EIO' } })
  }
})

const DEFECTS: readonly StoreDefect[] = [
  'decision answered before it is durable',
  'aborted without asking',
  'checkpoint passes a pending frame',
  'decision forgotten too early',
]

for (const defect of DEFECTS) {
  transactions(`it would be noticed: ${defect}`, async () => {
    assert.ok(await isNoticed(defect))
  })
}

async function isNoticed(defect: StoreDefect): Promise<boolean> {
  for (let seed = 1; seed <= CANARY_SEEDS; seed += 1) {
    try {
      await runTransactions(seed, { defect })
    } catch {
      return true
    }
  }
  return false
}

async function runSeed(seed: number, options: TransactionRunOptions): Promise<void> {
  try {
    await runTransactions(seed, options)
  } catch (error) {
    if (error instanceof Error)
      error.message = `seed ${seed} ${JSON.stringify(options)}: ${error.message}`
    throw error
  }
}

transactions.run()
