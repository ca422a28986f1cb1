import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Sabotage } from './sabotage.ts'
import { SABOTAGES } from './sabotages.ts'

// Applies the sabotages one by one to a copy of this project, and runs the tests until one fails.
// A sabotage that no test notices is a hole in the tests. The last line is `N caught of M`.
//
//   node dist/test/sabotage/run.js [--only N,N-N] [--named] [--json] [--limit-ms N]
//
// --only runs those of these numbers; --named stops at the tests that a sabotage names; --json
// prints one row for each in JSON; --limit-ms is how long a test file may take.

/** What a copy consists of, node_modules aside. */
const COPIED = ['src', 'test', 'types', 'load-tests', 'package.json', 'tsconfig.json'] as const
/** Seeds of a simulated history: what is caught at all is caught soon. */
const SEEDS = '800'
const TEST_LIMIT_MS = 120_000
/** What runs when none of the named tests has noticed anything. */
const AREAS: readonly (readonly [folder: string, tests: readonly string[]])[] = [
  ['src/workers/', ['workers/', 'integrity/', 'main/', 'e2e/']],
  ['src/main/', ['main/', 'e2e/']],
]

type Outcome = {
  readonly number: number
  readonly what: string
  readonly file: string
  /** The test file that failed, or why the sabotage could not be tried; null: nothing noticed. */
  readonly caughtBy: string | null
  readonly isTried: boolean
  readonly seconds: number
}

type Options = {
  readonly namedOnly: boolean
  readonly isJson: boolean
  readonly limitMs: string
}

/** A test file that did not pass. */
type Failure = { readonly file: string; readonly isTimeout: boolean }

async function runAll(numbers: readonly number[], options: Options): Promise<boolean> {
  const copy = mkdtempSync(join(tmpdir(), 'varve-sabotage-'))
  const outcomes: Outcome[] = []
  try {
    for (const part of COPIED) cpSync(part, join(copy, part), { recursive: true })
    symlinkSync(join(process.cwd(), 'node_modules'), join(copy, 'node_modules'))
    const compiled = await compile(copy)
    if (compiled !== 0) throw new Error('the copy does not compile before anything is changed')
    for (const number of numbers) {
      const outcome = await runOne(copy, number, options)
      outcomes.push(outcome)
      process.stdout.write(options.isJson ? `${JSON.stringify(outcome)}\n` : rowOf(outcome))
    }
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
  const caught = outcomes.filter(({ caughtBy, isTried }) => isTried && caughtBy !== null)
  process.stdout.write(`${caught.length} caught of ${outcomes.length}\n`)
  return caught.length === outcomes.length
}

async function runOne(copy: string, number: number, options: Options): Promise<Outcome> {
  const sabotage = SABOTAGES[number - 1] as Sabotage
  const { what, file } = sabotage
  const startMs = performance.now()
  const result = (caughtBy: string | null, isTried: boolean): Outcome => {
    const seconds = Math.round((performance.now() - startMs) / 100) / 10
    return { number, what, file, caughtBy, isTried, seconds }
  }
  const path = join(copy, file)
  const source = readFileSync(path, 'utf8')
  const parts = source.split(sabotage.find)
  if (parts.length !== 2) return result('it no longer fits the source', false)
  writeFileSync(path, parts.join(sabotage.replace))
  try {
    if ((await compile(copy)) !== 0) return result('it does not compile', false)
    for (const test of testsOf(sabotage, options)) {
      const failed = await failingTest(copy, test, options)
      if (failed === undefined) continue
      if (failed.isTimeout && sabotage.hangs !== true) {
        return result(`${failed.file} ran too long`, false)
      }
      return result(failed.file, true)
    }
    return result(null, true)
  } finally {
    writeFileSync(path, source)
  }
}

/** Path parts: those that the sabotage names, then its area. */
function testsOf({ file, tests }: Sabotage, { namedOnly }: Options): readonly string[] {
  if (namedOnly) return tests
  const area = AREAS.find(([folder]) => file.startsWith(folder))
  return [...tests, ...(area?.[1] ?? [])]
}

/** Types are left alone: a sabotage that they notice would be noticed by them alone. */
function compile(copy: string): Promise<number> {
  const tsc = join('node_modules', 'typescript', 'bin', 'tsc')
  return run(copy, [tsc, '-p', 'tsconfig.json', '--noCheck'], () => true)
}

/** The first test file that fails; undefined when all whose paths have the part pass. */
async function failingTest(
  copy: string,
  part: string,
  { limitMs }: Options,
): Promise<Failure | undefined> {
  let file: string | undefined
  let isTimeout: boolean | undefined
  const path = join('dist', 'test', 'run.js')
  const args = [path, join('dist', 'test'), part, '--limit-ms', limitMs]
  const code = await run(copy, args, line => {
    // The line after it says why.
    if (file !== undefined) isTimeout ??= /^ {5}ran longer than/.test(line)
    file ??= /^FAIL (\S+)/.exec(line)?.[1]
    return isTimeout === undefined
  })
  if (file === undefined) return code === 0 ? undefined : { file: part, isTimeout: false }
  return { file, isTimeout: isTimeout === true }
}

/** Runs Node in the copy; `onLine` says whether to go on. Returns the exit code, 1 for a signal. */
function run(
  copy: string,
  args: readonly string[],
  onLine: (line: string) => boolean,
): Promise<number> {
  const env = { ...process.env, VARVE_SEEDS: SEEDS }
  const child = spawn(process.execPath, args, {
    cwd: copy,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    // The test runner ends with everything that it started when it is asked to.
    if (!lines.every(onLine)) child.kill('SIGTERM')
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => resolve(code ?? 1))
  })
}

function rowOf({ number, what, caughtBy, isTried, seconds }: Outcome): string {
  const verdict = isTried ? (caughtBy === null ? 'MISSED' : 'caught') : 'ERROR '
  const by = caughtBy === null ? '' : `, ${caughtBy}`
  return `${verdict} ${String(number).padStart(3)}  ${what}${by}  ${seconds} s\n`
}

/** Numbers from 1 of `3,7-9`; all without it. */
function parseNumbers(text: string | undefined): number[] {
  const all = SABOTAGES.map((_, at) => at + 1)
  if (text === undefined) return all
  const ranges = text.split(',').map(part => part.split('-').map(Number))
  return all.filter(number =>
    ranges.some(([from = 0, to = from]) => number >= from && number <= to),
  )
}

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    named: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    'limit-ms': { type: 'string', default: String(TEST_LIMIT_MS) },
  },
})
const options: Options = {
  namedOnly: values.named,
  isJson: values.json,
  limitMs: values['limit-ms'],
}
process.exitCode = (await runAll(parseNumbers(values.only), options)) ? 0 : 1
