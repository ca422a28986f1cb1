import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describeMachine } from './bench/machine.ts'
import { type BenchOptions, parseOptions } from './bench/options.ts'
import { renderPlot } from './bench/plot.ts'
import { selectPoints } from './bench/points.ts'
import { Processes } from './bench/processes.ts'
import { appendRun } from './bench/results.ts'
import { runRounds } from './bench/rounds.ts'
import { summarize } from './bench/summary.ts'
import { renderHead, renderTable } from './bench/table.ts'
import { renderSystemCalls, renderUsage } from './bench/usage-table.ts'

// `npm run bench`: every contender side by side in one run. README.md says what each row means.

/** Of the repository; this runs as dist/load-tests/bench.js. */
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const NOT_INSTALLED = 'not installed'
/** 128 B a record, twice over in a journal and a segment: some gigabytes at the most. */
const RECORDS_MAX = 10_000_000

async function main(): Promise<void> {
  const options = parseOptions(process.argv)
  const parent = resolve(options.data ?? join(ROOT, 'load-tests', 'scratch'))
  mkdirSync(parent, { recursive: true })
  const scratch = mkdtempSync(join(parent, 'bench-'))
  const processes = new Processes()
  const cleanUp = () => {
    processes.killAll()
    rmSync(scratch, { recursive: true, force: true, maxRetries: 5 })
  }
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.once(signal, () => process.exit(code))
  }
  process.once('exit', cleanUp)
  await run(options, scratch, processes)
}

async function run(options: BenchOptions, scratch: string, processes: Processes): Promise<void> {
  const startedAt = new Date().toISOString()
  const machine = describeMachine(ROOT, scratch)
  console.log(`${renderHead(machine, scratch, options)}\n`)
  const outcomes = await runRounds(selectPoints(options.only), {
    processes,
    scratch,
    rounds: options.rounds,
    shards: options.shards,
    countsSystemCalls: options.systemCalls,
    hasRedis: machine.redis !== undefined,
    timing: {
      warmupMs: options.warmup * 1000,
      measureMs: options.seconds * 1000,
      recordsMax: RECORDS_MAX,
    },
    onProgress: line => console.error(line),
  })
  const summaries = summarize(outcomes)
  const tables = [renderTable(summaries), renderUsage(summaries), renderSystemCalls(summaries)]
  console.log(`\n${tables.filter(table => table !== '').join('\n\n')}\n`)
  const day = startedAt.slice(0, 10)
  const path = resolve(options.json ?? join(ROOT, 'load-tests', 'results', `${day}.json`))
  appendRun(path, { startedAt, machine, options, summaries, outcomes })
  const caption = `${startedAt}, ${machine.cores} cores, ${machine.fileSystem.type}`
  const plot = renderPlot(summaries, caption)
  const plotPath = path.replace(/(\.json)?$/, '.svg')
  if (plot !== undefined) writeFileSync(plotPath, plot)
  console.log(`written: ${path}${plot === undefined ? '' : `\n         ${plotPath}`}`)
  const hasFailed = outcomes.some(({ reason }) => reason !== undefined && reason !== NOT_INSTALLED)
  if (hasFailed) process.exitCode = 1
}

await main()
