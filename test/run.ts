import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

// Every test file runs in a process of its own, and what counts is what uvu printed, checked
// against the exit code. uvu 0.5.6 exits 0 when a hook throws, when a suite is never run, when
// nothing is registered, and when the event loop empties under a test that still waits.
//
//   node dist/test/run.js [ROOT] [PART OF A PATH] [--limit-ms N]

type Counts = { readonly passed: number; readonly failed: number; readonly skipped: number }
type Ending = {
  /** Why the process counts as failed whatever uvu printed, or undefined. */
  readonly fault: string | undefined
  /** Standard output alone: where uvu prints its counts. */
  readonly stdout: string
  /** Both outputs, as they came. */
  readonly output: string
}

const UNIT_LIMIT_MS = 120_000
const SLOW_LIMIT_MS = 400_000
/** These walk over many seeds, or start servers and kill them. They run first, in this order. */
const SLOW = [/^integrity\//, /^e2e\//] as const
/** Files side by side. One queue feeds them all, so that no core is idle before the end. */
const FILES_MAX = 2
/** How long an output pipe may outlive its process, held by a grandchild that left the group. */
const PIPE_GRACE_MS = 2_000

/** uvu's closing block, at the start of lines of its own. */
const COUNTS = /^ {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +(\d+)\n {2}Duration: /gm

const running = new Set<ChildProcess>()

async function runAll(root: string, part: string, limitMs: number | undefined): Promise<Counts> {
  const files = testFiles(root).filter(file => file.includes(part))
  const queue = files.toSorted((left, right) => rankOf(left) - rankOf(right))
  const results: Counts[] = []
  const work = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const fileLimitMs = rankOf(file) < SLOW.length ? SLOW_LIMIT_MS : UNIT_LIMIT_MS
      results.push(await runFile(root, file, limitMs ?? fileLimitMs))
    }
  }
  await Promise.all(Array.from({ length: FILES_MAX }, work))
  return {
    passed: results.reduce((sum, { passed }) => sum + passed, 0),
    failed: results.reduce((sum, { failed }) => sum + failed, 0),
    skipped: results.reduce((sum, { skipped }) => sum + skipped, 0),
  }
}

/** The lower, the sooner it runs. */
function rankOf(file: string): number {
  const rank = SLOW.findIndex(pattern => pattern.test(file))
  return rank === -1 ? SLOW.length : rank
}

function testFiles(root: string): string[] {
  if (!existsSync(root)) return []
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map(file => file.replaceAll('\\', '/'))
    .filter(file => file.endsWith('.test.js'))
    .sort()
}

async function runFile(root: string, file: string, limitMs: number): Promise<Counts> {
  const startMs = performance.now()
  const ending = await execute(join(root, file), limitMs)
  const { counts, reason } = judge(ending)
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
  const verdict = reason === undefined ? 'ok  ' : 'FAIL'
  console.log(`${verdict} ${file}  ${summary(counts)}  ${seconds} s`)
  if (reason !== undefined) {
    // Indented, so that nothing a test prints can pass for a line of this runner.
    console.log(`     ${reason}\n${ending.output.trimEnd().replaceAll(/^/gm, '     | ')}`)
  }
  return counts
}

/** Runs one file to its end, or to `limitMs`; leaves no process of its group behind. */
function execute(path: string, limitMs: number): Promise<Ending> {
  const { FORCE_COLOR: _, ...env } = process.env
  const child = spawn(process.execPath, ['--enable-source-maps', path], {
    env: { ...env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    // Leads a process group, so that what the test started ends with it.
    detached: true,
  })
  running.add(child)
  let stdout = ''
  let output = ''
  let timedOut = false
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const limit = setTimeout(() => {
    timedOut = true
    killGroup(child)
  }, limitMs)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', () => {
      clearTimeout(limit)
      running.delete(child)
      killGroup(child)
      setTimeout(() => {
        child.stdout.destroy()
        child.stderr.destroy()
      }, PIPE_GRACE_MS).unref()
    })
    child.once('close', (code, signal) => {
      const status = code === 0 ? undefined : `ended with ${signal ?? `exit code ${code}`}`
      resolve({ fault: timedOut ? `ran longer than ${limitMs} ms` : status, stdout, output })
    })
  })
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // The group is gone, which is what was wanted.
  }
}

/** Believes uvu's counts only as far as they agree with each other and with how the file ended. */
function judge({ fault, stdout }: Ending): { counts: Counts; reason: string | undefined } {
  const blocks = [...stdout.matchAll(COUNTS)]
  if (blocks.length !== 1) {
    const reason = fault ?? `printed ${blocks.length} blocks of counts`
    return { counts: { passed: 0, failed: 1, skipped: 0 }, reason }
  }
  const [total = 0, passed = 0, skipped = 0] = blocks[0]?.slice(1).map(Number) ?? []
  // uvu counts a skipped test in Skipped alone, not in Total.
  const unpassed = Math.max(total - passed, 0)
  const reason =
    fault ?? (total === 0 ? 'ran no test' : total === passed ? undefined : 'not all passed')
  const failed = reason === undefined ? 0 : Math.max(unpassed, 1)
  return { counts: { passed, failed, skipped }, reason }
}

function summary({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    running.forEach(killGroup)
    process.exit(1)
  })
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { 'limit-ms': { type: 'string' } },
})
const limitMs = values['limit-ms'] === undefined ? undefined : Number(values['limit-ms'])
const counts = await runAll(positionals[0] ?? 'dist/test', positionals[1] ?? '', limitMs)
console.log(summary(counts))
process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0
