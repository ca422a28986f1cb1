import { parseArgs } from 'node:util'
import { HISTORIES, replayCommand, runSeeds } from '../support/seed-runner.ts'

// Runs many seeds of the simulated disk, and prints one row of JSON:
//
//   node dist/test/integrity/run-seeds.js --seeds N [--from S] [--history NAME]
//
// NAME is engine, transactions or damage.

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    history: { type: 'string', default: 'engine' },
  },
})
const history = HISTORIES.find(name => name === values.history)
if (history === undefined) throw new Error(`no history ${values.history}: ${HISTORIES.join()}`)
const startMs = performance.now()
const report = await runSeeds(history, Number(values.from), Number(values.seeds))
const seconds = Math.round((performance.now() - startMs) / 100) / 10
process.stdout.write(`${JSON.stringify({ ...report, seconds })}\n`)
for (const { seed } of report.failures) process.stderr.write(`${replayCommand(history, seed)}\n`)
process.exitCode = report.failures.length > 0 ? 1 : 0
