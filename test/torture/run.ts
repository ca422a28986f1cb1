import { Random } from '../support/random.ts'
import { FAULTS } from './faults.ts'
import { helpText, readOptions, type Run, type Selection } from './options.ts'
import { writeReport } from './report.ts'
import { emptyRow, renderTable, type Row, sizeOf } from './table.ts'
import { missing } from './tools.ts'
import { type Case, closeTrials, type Finding, type Size, Trial } from './trial.ts'

// Real faults on the built service, from outside: `npm run torture`. The oracle is a ledger in this
// process of what the service acknowledged and served. `--help` lists the options.

/** Longest that one case may take before it counts as hanging. */
const CASE_MS = 240_000
/** Findings printed of one case; the rest are counted. */
const SHOWN_MAX = 6
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

async function main(): Promise<void> {
  const run = readOptions(process.argv.slice(2))
  if (run === undefined) return say(helpText())
  const { size, selection, markdown } = run
  say(`${sizeOf(size)}\n`)
  const startMs = performance.now()
  const rows = await runFaults(run)
  const minutes = (performance.now() - startMs) / 60_000
  say(`\n${renderTable(rows.filter(({ fault }) => selection.isWanted(fault)))}`)
  say(`\n${minutes.toFixed(1)} minutes`)
  if (markdown !== undefined) {
    writeReport(markdown, rows, { size, asked: selection.asked, minutes })
  }
  process.exitCode = rows.some(({ failed }) => failed.length > 0) ? 1 : 0
}

async function runFaults({ size, selection, jobs }: Run): Promise<Row[]> {
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
    await runFault(row, size, { ...selection, endMs }, fault.isParallel === true ? jobs : 1)
  }
  return rows
}

async function runFault(row: Row, size: Size, { part, endMs }: Selection, jobs: number) {
  const { fault, skipped } = row
  if (skipped.length > 0) {
    say(`${fault.name}: skipped, for it needs ${skipped.join(' and ')}`)
    return
  }
  const startMs = performance.now()
  const all = [...fault.cases(size).entries()]
  const cases = all.filter(([, one]) => one.name.includes(part))
  row.notRun += all.length - cases.length
  // Where time is short, any part of the cases should speak for all of them.
  const open = Number.isFinite(endMs) ? shuffled(cases, size.seed) : cases
  const work = async () => {
    for (let next = open.shift(); next !== undefined; next = open.shift()) {
      const [index, one] = next
      if (performance.now() > endMs) row.notRun += 1
      // Replayed alone, a case has the seed that is printed, whatever its place.
      else await runCase(row, one, part === '' ? size.seed + index : size.seed)
    }
  }
  await Promise.all(Array.from({ length: jobs }, work))
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
    row.notes.set(name, Math.max(value, row.notes.get(name) ?? value))
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
