import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { FAULTS } from './faults.ts'
import { renderMarkdown, renderTable, type Row, sizeOf } from './table.ts'
import { missing } from './tools.ts'
import { type Case, type Fault, type Finding, type Size, Trial } from './trial.ts'

// Real faults on the built service, from outside: `npm run torture`. The oracle is a ledger in this
// process of what the service acknowledged and served.
//
//   npm run torture -- [--only FAULT] [--case PART] [--long] [--seeds N] [--seed S]
//                      [--markdown FILE]

const SEEDS = { ci: 4, long: 60 }
/** Longest that one case may take before it counts as hanging. */
const CASE_MS = 240_000
/** Findings printed of one case; the rest are counted. */
const SHOWN_MAX = 6

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      case: { type: 'string' },
      long: { type: 'boolean', default: false },
      seeds: { type: 'string' },
      seed: { type: 'string' },
      markdown: { type: 'string' },
    },
  })
  const size: Size = {
    isLong: values.long,
    seeds: integer(values.seeds, values.long ? SEEDS.long : SEEDS.ci),
    seed: integer(values.seed, Date.now() % 1_000_000),
  }
  const faults = FAULTS.filter(({ name }) => values.only === undefined || name === values.only)
  if (faults.length === 0) {
    const names = FAULTS.map(({ name }) => name).join(', ')
    throw new Error(`there is no fault ${values.only}: expected one of ${names}`)
  }
  say(`${sizeOf(size)}\n`)
  const rows: Row[] = []
  for (const fault of faults) rows.push(await runFault(fault, size, values.case ?? ''))
  say(`\n${renderTable(rows)}`)
  if (values.markdown !== undefined) writeFileSync(values.markdown, renderMarkdown(rows, size))
  const hasFailed = rows.some(({ tries, survived }) => survived < tries)
  process.exitCode = hasFailed ? 1 : 0
}

async function runFault(fault: Fault, size: Size, part: string): Promise<Row> {
  const row: Row = {
    fault,
    skipped: missing(fault.needs),
    tries: 0,
    survived: 0,
    counts: { lost: 0, wrong: 0, refused: 0, hurt: 0, slow: 0 },
    notes: new Map(),
    seconds: 0,
  }
  if (row.skipped.length > 0) {
    say(`${fault.name}: skipped, for it needs ${row.skipped.join(' and ')}`)
    return row
  }
  const startMs = performance.now()
  for (const [index, one] of fault.cases(size).entries()) {
    if (!one.name.includes(part)) continue
    const findings = await runCase(fault, one, row, size.seed + index)
    row.tries += 1
    if (findings.length === 0) row.survived += 1
    for (const { kind } of findings) row.counts[kind] += 1
  }
  row.seconds = Math.round((performance.now() - startMs) / 1000)
  return row
}

async function runCase(fault: Fault, one: Case, row: Row, seed: number): Promise<Finding[]> {
  const trial = new Trial(seed)
  const startMs = performance.now()
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it took longer than ${CASE_MS} ms`)), CASE_MS)
  })
  try {
    await Promise.race([one.run(trial), limit])
  } catch (error) {
    trial.find('slow', `the case ended early: ${String(error).slice(0, 400)}`)
  } finally {
    clearTimeout(timer)
    await trial.close()
  }
  for (const [name, value] of trial.notes) {
    row.notes.set(name, Math.max(value, row.notes.get(name) ?? 0))
  }
  const { findings } = trial
  const verdict = findings.length === 0 ? 'ok  ' : 'FAIL'
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
  say(`${verdict} ${fault.name}: ${one.name}  ${seconds} s`)
  for (const { kind, detail, count } of findings.slice(0, SHOWN_MAX)) {
    say(`     ${kind}: ${detail}${count > 1 ? ` (${count} like it)` : ''}`)
  }
  if (findings.length > SHOWN_MAX) say(`     and ${findings.length - SHOWN_MAX} more findings`)
  if (findings.length > 0) {
    const again = `--only ${fault.name} --case '${one.name}' --seed ${seed}`
    say(`     again: npm run torture -- ${again}`)
  }
  return findings
}

function integer(text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback
  if (!/^\d+$/.test(text)) throw new Error(`${text} is no count`)
  return Number(text)
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

await main()
