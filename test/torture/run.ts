import { parseArgs } from 'node:util'
import { Random } from '../support/random.ts'
import { FAULTS } from './faults.ts'
import { writeReport } from './report.ts'
import { emptyRow, renderTable, type Row, sizeOf } from './table.ts'
import { missing } from './tools.ts'
import { type Case, closeTrials, type Fault, type Finding, type Size, Trial } from './trial.ts'

// Real faults on the built service, from outside: `npm run torture`. The oracle is a ledger in this
// process of what the service acknowledged and served.
//
//   npm run torture -- [--only FAULT[,FAULT]] [--case PART] [--long] [--seed S] [--minutes N]
//                      [--rounds N] [--seeds N] [--requests N] [--sabotage] [--markdown FILE]
//
// --minutes shares N minutes between the faults, each of which then tries cases in a drawn order;
// --seeds are simulated histories, --requests mutated ones; --sabotage runs the sabotages alone.

// biome-ignore format: a table of sizes is read by column
const SIZES = {
  ci:   { rounds: 4,  seeds: 1_000,  requests: 2_000 },
  long: { rounds: 60, seeds: 10_000, requests: 20_000 },
}
/** Longest that one case may take before it counts as hanging. */
const CASE_MS = 240_000
/** Findings printed of one case; the rest are counted. */
const SHOWN_MAX = 6
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

type Selection = {
  readonly isWanted: (fault: Fault) => boolean
  readonly part: string
  readonly endMs: number
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      case: { type: 'string' },
      long: { type: 'boolean', default: false },
      minutes: { type: 'string' },
      rounds: { type: 'string' },
      seeds: { type: 'string' },
      requests: { type: 'string' },
      sabotage: { type: 'boolean', default: false },
      seed: { type: 'string' },
      markdown: { type: 'string' },
    },
  })
  const standard = SIZES[values.long ? 'long' : 'ci']
  const size: Size = {
    isLong: values.long,
    rounds: integer(values.rounds, standard.rounds),
    seeds: integer(values.seeds, standard.seeds),
    requests: integer(values.requests, standard.requests),
    seed: integer(values.seed, Date.now() % 1_000_000),
  }
  const selection: Selection = {
    isWanted: chosen(values.sabotage ? 'sabotage' : values.only),
    part: values.case ?? '',
    endMs: performance.now() + integer(values.minutes, Number.POSITIVE_INFINITY) * 60_000,
  }
  say(`${sizeOf(size)}\n`)
  const rows = await runFaults(size, selection)
  say(`\n${renderTable(rows.filter(({ fault }) => selection.isWanted(fault)))}`)
  if (values.markdown !== undefined) writeReport(values.markdown, rows, size)
  process.exitCode = rows.some(({ failed }) => failed.length > 0) ? 1 : 0
}

/** @param only names with commas between them; all but those that run only by name without it */
function chosen(only: string | undefined): (fault: Fault) => boolean {
  if (only === undefined) return ({ isOnlyByName }) => isOnlyByName !== true
  const wanted = only.split(',')
  const unknown = wanted.filter(name => FAULTS.every(fault => fault.name !== name))
  if (unknown.length > 0) {
    const names = FAULTS.map(({ name }) => name).join(', ')
    throw new Error(`there is no fault ${unknown.join(', ')}: expected one of ${names}`)
  }
  return ({ name }) => wanted.includes(name)
}

async function runFaults(size: Size, selection: Selection): Promise<Row[]> {
  let left = FAULTS.filter(selection.isWanted).length
  const rows: Row[] = []
  for (const fault of FAULTS) {
    const row = emptyRow(fault, missing(fault.needs))
    rows.push(row)
    if (!selection.isWanted(fault)) {
      row.notRun = fault.cases(size).length
      continue
    }
    // What an earlier fault did not use is there for the later ones.
    const nowMs = performance.now()
    const endMs = nowMs + (selection.endMs - nowMs) / left
    left -= 1
    await runFault(row, size, { ...selection, endMs })
  }
  return rows
}

async function runFault(row: Row, size: Size, { part, endMs }: Selection): Promise<void> {
  const { fault, skipped } = row
  if (skipped.length > 0) {
    say(`${fault.name}: skipped, for it needs ${skipped.join(' and ')}`)
    return
  }
  const startMs = performance.now()
  // Where time is short, any part of the cases should speak for all of them.
  const cases = [...fault.cases(size).entries()].filter(([, one]) => one.name.includes(part))
  for (const [index, one] of Number.isFinite(endMs) ? shuffled(cases, size.seed) : cases) {
    if (performance.now() > endMs) row.notRun += 1
    else await runCase(row, one, size.seed + index)
  }
  row.seconds = Math.round((performance.now() - startMs) / 1000)
}

/** Runs a case and counts what came of it. */
async function runCase(row: Row, one: Case, seed: number): Promise<void> {
  const trial = new Trial(seed)
  const startMs = performance.now()
  try {
    await (one.isUnbounded === true ? one.run(trial) : limited(one.run(trial)))
  } catch (error) {
    trial.find('slow', `the case ended early: ${String(error).slice(0, 400)}`)
  } finally {
    await trial.close()
  }
  const { findings, tally, notApplied } = trial
  const isTried = findings.length > 0 || notApplied === undefined
  row.tries += tally?.tries ?? (isTried ? 1 : 0)
  row.survived += tally?.survived ?? (isTried && findings.length === 0 ? 1 : 0)
  row.notApplied += tally?.notApplied ?? (isTried ? 0 : 1)
  for (const { kind } of findings) row.counts[kind] += 1
  for (const [name, value] of trial.notes) {
    row.notes.set(name, Math.max(value, row.notes.get(name) ?? 0))
  }
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
  const verdict = findings.length > 0 ? 'FAIL' : isTried ? 'ok  ' : 'none'
  const why = isTried ? '' : `, not applied: ${notApplied}`
  say(`${verdict} ${row.fault.name}: ${one.name}  ${seconds} s${why}`)
  if (findings.length > 0) sayFindings(row, one, findings, seed)
}

function sayFindings(row: Row, one: Case, findings: readonly Finding[], seed: number): void {
  for (const { kind, detail, count } of findings.slice(0, SHOWN_MAX)) {
    say(`     ${kind}: ${detail}${count > 1 ? ` (${count} like it)` : ''}`)
  }
  if (findings.length > SHOWN_MAX) say(`     and ${findings.length - SHOWN_MAX} more findings`)
  const { name } = row.fault
  const again = `npm run torture -- --only ${name} --case '${one.name}' --seed ${seed}`
  say(`     again: ${again}`)
  const { kind, detail } = findings[0] as Finding
  row.failed.push(`${name}, ${one.name}: ${kind}: ${detail.slice(0, 200)} (\`${again}\`)`)
}

async function limited(running: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it took longer than ${CASE_MS} ms`)), CASE_MS)
  })
  await Promise.race([running, limit]).finally(() => clearTimeout(timer))
}

function shuffled<Item>(items: readonly Item[], seed: number): Item[] {
  const random = new Random(seed)
  const keyed = items.map(item => ({ item, key: random.next() }))
  return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item)
}

function integer(text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback
  if (!/^\d+$/.test(text)) throw new Error(`${text} is no count`)
  return Number(text)
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

for (const [signal, code] of Object.entries(SIGNALS)) {
  // Without it the servers and mounts of a case would outlive the run.
  process.once(signal, () => {
    const leave = () => process.exit(code)
    closeTrials().then(leave, leave)
  })
}
try {
  await main()
} finally {
  await closeTrials()
}
