import { Command, InvalidArgumentError } from 'commander'
import { ROWS } from './points.ts'

export type BenchOptions = {
  readonly seconds: number
  readonly warmup: number
  readonly rounds: number
  /** Names of rows; all of them when empty. */
  readonly only: readonly string[]
  readonly json?: string
  readonly data?: string
  readonly shards?: number
  readonly systemCalls: boolean
}

/** Ends the process with a message when an option makes no sense, and after `--help`. */
export function parseOptions(argv: readonly string[]): BenchOptions {
  const names = ROWS.map(({ name }) => name).join(', ')
  return new Command('npm run bench --')
    .description('Measures Varve, its floors and Redis side by side, alternating round by round.')
    .option('--seconds <n>', 'measured time of one point', number(0.1, 600), 5)
    .option('--warmup <n>', 'seconds before it that are not counted', number(0, 60), 2)
    .option('--rounds <n>', 'times that every point is measured', integer(1, 100), 3)
    .option('--only <names>', `rows, comma-separated, * for any rest: ${names}`, split, [])
    .option('--json <file>', 'append to this file, not to load-tests/results/<date>.json')
    .option('--data <dir>', 'where the contenders write (default: load-tests/scratch)')
    .option('--shards <n>', "shards of Varve (default: Varve's own)", integer(1, 64))
    .option('--system-calls', 'also count system calls of appends, with strace', false)
    .parse(argv)
    .opts<BenchOptions>()
}

function number(min: number, max: number): (text: string) => number {
  return text => {
    const value = Number(text)
    if (value >= min && value <= max) return value
    throw new InvalidArgumentError(`It must be a number from ${min} to ${max}.`)
  }
}

function integer(min: number, max: number): (text: string) => number {
  const parse = number(min, max)
  return text => {
    if (Number.isInteger(Number(text))) return parse(text)
    throw new InvalidArgumentError('It must be a whole number.')
  }
}

function split(text: string): string[] {
  const wanted = text.split(',').map(name => name.trim())
  const unknown = wanted.find(name => !name.endsWith('*') && ROWS.every(row => row.name !== name))
  if (unknown === undefined) return wanted
  throw new InvalidArgumentError(`There is no row ${unknown}.`)
}
