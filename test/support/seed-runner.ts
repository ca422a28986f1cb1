import { availableParallelism } from 'node:os'
import { parentPort, Worker, workerData } from 'node:worker_threads'
import { type CrashRunCounts, runCrashes } from './crash-run.ts'
import { type DamageRunCounts, runDamage } from './damage-run.ts'
import { runTransactions } from './transaction-run.ts'

// Runs many seeds over all cores. A seed is one history of its own, so any failure replays by its
// number alone.

/** Kind of history: see `runCrashes`, `runTransactions` and `runDamage`. */
export const HISTORIES = ['engine', 'transactions', 'damage'] as const
export type History = (typeof HISTORIES)[number]

type SeedFailure = { readonly seed: number; readonly message: string }

/** What came of a range of seeds. */
export type SeedReport = {
  readonly history: History
  readonly seeds: number
  readonly from: number
  readonly answered: number
  readonly barriers: number
  readonly crashes: number
  /** Crashes inside a recovery. */
  readonly nested: number
  /** Completed changes of the number of shards. */
  readonly reshards: number
  /** Damaged directories in which something was refused, and in which a range was named lost. */
  readonly refused: number
  readonly named: number
  readonly failures: readonly SeedFailure[]
}

type Share = { readonly history: History; readonly seeds: readonly number[] }
type Counts = Omit<CrashRunCounts, 'hits'> & Omit<DamageRunCounts, 'whole'>
type ShareReport = Counts & { readonly failures: readonly SeedFailure[] }

// biome-ignore format: a table of counts
const NOTHING: Counts = {
  answered: 0, barriers: 0, crashes: 0, nested: 0, reshards: 0, refused: 0, named: 0,
}
const COUNTS = Object.keys(NOTHING) as readonly (keyof Counts)[]
/** A run that fails everywhere is cut short. */
const FAILURES_MAX = 5

/** Runs the seeds `from` to `from + seeds` of a history, on `threads` threads. */
export async function runSeeds(
  history: History,
  from: number,
  seeds: number,
  threads = availableParallelism(),
): Promise<SeedReport> {
  const all = Array.from({ length: seeds }, (_, at) => from + at)
  const shares = Array.from({ length: Math.min(threads, seeds) }, (_, thread) =>
    all.filter((_, at) => at % threads === thread),
  )
  const reports = await Promise.all(shares.map(share => runShare({ history, seeds: share })))
  const sum = (count: keyof Counts) => reports.reduce((total, report) => total + report[count], 0)
  return {
    history,
    seeds,
    from,
    answered: sum('answered'),
    barriers: sum('barriers'),
    crashes: sum('crashes'),
    nested: sum('nested'),
    reshards: sum('reshards'),
    refused: sum('refused'),
    named: sum('named'),
    failures: reports.flatMap(({ failures }) => failures).sort((a, b) => a.seed - b.seed),
  }
}

/** The command that runs a seed again. */
export function replayCommand(history: History, seed: number): string {
  return `node dist/test/integrity/run-seeds.js --history ${history} --from ${seed} --seeds 1`
}

/** Throws what the first failure says, with the command that runs it again. */
export function rejectFailures({ history, failures }: SeedReport): void {
  const [first] = failures
  if (first === undefined) return
  throw new Error(`seed ${first.seed}: ${first.message}\n${replayCommand(history, first.seed)}`)
}

function runShare(share: Share): Promise<ShareReport> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: share })
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.once('exit', code => reject(new Error(`a seed worker left with exit code ${code}`)))
  })
}

async function run({ history, seeds }: Share): Promise<ShareReport> {
  const failures: SeedFailure[] = []
  const total: Record<keyof Counts, number> = { ...NOTHING }
  for (const seed of seeds) {
    if (failures.length === FAILURES_MAX) break
    try {
      const counts = await runOne(history, seed)
      for (const name of COUNTS) total[name] += counts[name]
    } catch (error) {
      failures.push({ seed, message: error instanceof Error ? String(error.stack) : String(error) })
    }
  }
  return { ...total, failures }
}

async function runOne(history: History, seed: number): Promise<Counts> {
  if (history === 'engine') return { ...NOTHING, ...runCrashes(seed) }
  if (history === 'damage') return { ...NOTHING, ...runDamage(seed) }
  return { ...NOTHING, ...(await runTransactions(seed)) }
}

if (parentPort !== null && isShare(workerData)) parentPort.postMessage(await run(workerData))

function isShare(data: unknown): data is Share {
  return typeof data === 'object' && data !== null && 'history' in data
}
