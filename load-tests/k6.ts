import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

// Runs one of k6/*.js against a service of its own: a fresh directory, any free port.
//
//   npm run k6 -- append [arguments of k6 run]

const K6_IS_ABSENT = 3
const START_MS = 30_000
const POLL_MS = 50

const root = resolve(import.meta.dirname, '../..')

async function run(script: string, k6Arguments: readonly string[]): Promise<number> {
  const path = join(root, 'k6', `${script}.js`)
  if (script === '' || !existsSync(path)) {
    const names = readdirSync(join(root, 'k6')).filter(name => name.endsWith('.js'))
    console.error(
      `usage: npm run k6 -- ${names.map(name => name.slice(0, -3)).join('|')} [k6 args]`,
    )
    return 2
  }
  if (spawnSync('k6', ['version']).status !== 0) {
    console.error(
      'k6 is not on the PATH. It is a program of its own, not an npm package: see\n' +
        'https://grafana.com/docs/k6/latest/set-up/install-k6/ (the scripts need 0.49 or newer)',
    )
    return K6_IS_ABSENT
  }
  const data = mkdtempSync(join(tmpdir(), 'varve-k6-'))
  const service = startService(data)
  try {
    const url = await waitUntilReady(service)
    return await exitCodeOf(
      spawn('k6', ['run', '--no-usage-report', '-e', `VARVE_URL=${url}`, ...k6Arguments, path], {
        stdio: 'inherit',
      }),
    )
  } finally {
    service.kill('SIGTERM')
    await exitCodeOf(service)
    rmSync(data, { recursive: true, force: true })
  }
}

function startService(data: string): ChildProcess {
  const entry = join(root, 'dist/src/main/index.js')
  const flags = ['--data', data, '--port', '0', '--log-format', 'json', '--log-level', 'info']
  return spawn(process.execPath, [entry, 'serve', ...flags], {
    // Ends by our word alone: a Ctrl-C goes to k6, which then sums up what it has.
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

/** The service's address, once it is ready. */
async function waitUntilReady(service: ChildProcess): Promise<string> {
  const limit = AbortSignal.timeout(START_MS)
  const url = await readUrl(service, limit)
  while (!limit.aborted) {
    const answer = await fetch(`${url}/v1/ready`, { signal: limit })
    if (answer.ok) return url
    await sleep(POLL_MS)
  }
  throw new Error(`the service was not ready within ${START_MS} ms`)
}

async function readUrl({ stdout }: ChildProcess, signal: AbortSignal): Promise<string> {
  if (stdout === null) throw new Error('the service has no standard output')
  let found: string | undefined
  for await (const line of createInterface({ input: stdout, signal })) {
    found = (JSON.parse(line) as { url?: string }).url
    if (found !== undefined) break
  }
  if (found === undefined) throw new Error('the service ended before it served')
  stdout.resume() // the rest of the log is not wanted, but must not fill the pipe
  return found
}

function exitCodeOf(child: ChildProcess): Promise<number> {
  if (child.exitCode !== null) return Promise.resolve(child.exitCode)
  return new Promise((resolveCode, reject) => {
    child.once('error', reject)
    child.once('exit', code => resolveCode(code ?? 1))
  })
}

process.on('SIGINT', () => undefined) // k6 gets it too, and its end is ours
const [script = '', ...k6Arguments] = process.argv.slice(2)
process.exitCode = await run(script, k6Arguments)
