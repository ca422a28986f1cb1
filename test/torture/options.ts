import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { FAULTS } from './faults.ts'
import type { Fault, Size } from './trial.ts'

// biome-ignore format: a table of sizes is read by column
const SIZES = {
  ci:   { rounds: 4,  seeds: 1_000,  requests: 2_000,  loadMinutes: 2 },
  long: { rounds: 60, seeds: 10_000, requests: 20_000, loadMinutes: 120 },
}

const OPTIONS = {
  help: { type: 'boolean', default: false },
  only: { type: 'string' },
  case: { type: 'string' },
  long: { type: 'boolean', default: false },
  minutes: { type: 'string' },
  rounds: { type: 'string' },
  seeds: { type: 'string' },
  requests: { type: 'string' },
  sabotage: { type: 'boolean', default: false },
  jobs: { type: 'string' },
  seed: { type: 'string' },
  markdown: { type: 'string' },
} as const

// biome-ignore format: a table of options is read by column
const ABOUT: Readonly<Record<keyof typeof OPTIONS, string>> = {
  help:     'print this and end',
  only:     'FAULT[,FAULT]: run only these faults',
  case:     'PART: run only cases whose name contains PART',
  long:     'run a night of cases instead of as many as CI runs',
  minutes:  'N: share N minutes between the faults, and draw their cases at random',
  rounds:   'N: runs of each fault with kills or power cuts',
  seeds:    'N: simulated histories of each kind',
  requests: 'N: mutated requests',
  sabotage: 'run only the sabotages of the source, which takes hours; --case PART runs some',
  jobs:     'N: cases that run side by side; default: one for each core',
  seed:     'N: seed of all random choices; printed at the start and with each failure',
  markdown: 'FILE: write the report into FILE, from its heading "Last run" on',
}

export type Selection = {
  readonly isWanted: (fault: Fault) => boolean
  /** Part of the names of the wanted cases. */
  readonly part: string
  /** The options that made the selection; empty if there were none. */
  readonly asked: string
  /** After this time no further case begins; as performance.now(). */
  readonly endMs: number
}

export type Run = {
  readonly size: Size
  readonly selection: Selection
  readonly jobs: number
  /** File that the report goes into. */
  readonly markdown: string | undefined
}

/** Parses the command line; undefined if it asks for help. @throws Error if it is invalid */
export function readOptions(args: readonly string[]): Run | undefined {
  const { values } = parseArgs({ args: [...args], options: OPTIONS })
  if (values.help) return undefined
  const standard = SIZES[values.long ? 'long' : 'ci']
  const minutes = integer(values.minutes, Number.POSITIVE_INFINITY)
  const isWanted = chosen(values.sabotage ? 'sabotage' : values.only)
  const wanted = FAULTS.filter(isWanted).length
  const size: Size = {
    isLong: values.long,
    rounds: integer(values.rounds, standard.rounds),
    seeds: integer(values.seeds, standard.seeds),
    requests: integer(values.requests, standard.requests),
    loadMinutes: Number.isFinite(minutes) ? minutes / wanted : standard.loadMinutes,
    seed: integer(values.seed, Date.now() % 1_000_000),
  }
  const endMs = performance.now() + minutes * 60_000
  const asked = args.filter((_, at) => !isOfMarkdown(args, at)).join(' ')
  return {
    size,
    selection: { isWanted, part: values.case ?? '', asked, endMs },
    jobs: Math.max(1, integer(values.jobs, availableParallelism())),
    markdown: values.markdown,
  }
}

export function helpText(): string {
  const options = Object.entries(ABOUT).map(([name, about]) => `  --${name.padEnd(9)} ${about}`)
  const faults = FAULTS.map(({ name, title }) => `  ${name.padEnd(11)} ${title}`)
  return [
    'npm run torture -- [OPTION...]: real faults on the built service, from outside',
    '',
    ...options,
    '',
    'Faults:',
    ...faults,
    '',
    'Exit code 1: a case failed. A fault that needs root or a missing tool is skipped.',
  ].join('\n')
}

/** @param only comma-separated names; undefined: all faults but those that run only by name */
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

function isOfMarkdown(args: readonly string[], at: number): boolean {
  return args[at]?.startsWith('--markdown') === true || args[at - 1] === '--markdown'
}

function integer(text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback
  if (!/^\d+$/.test(text)) throw new Error(`${text} is no count`)
  return Number(text)
}
