import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Processes } from './bench/processes.ts'
import { startService } from './service.ts'

// Runs one of k6/*.js against a service of its own: a fresh directory, any free port.
//
//   npm run k6 -- append [arguments of k6 run]

const K6_IS_ABSENT = 3

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
  const processes = new Processes()
  process.once('exit', () => processes.killAll())
  const log = join(data, 'varve.log')
  // Detached, it ends by our word alone: a Ctrl-C goes to k6, which then sums up what it has.
  const place = { processes, data: join(data, 'varve'), log, isDetached: true }
  const { child, url } = await startService(place)
  try {
    return await exitCodeOf(
      spawn('k6', ['run', '--no-usage-report', '-e', `VARVE_URL=${url}`, ...k6Arguments, path], {
        stdio: 'inherit',
      }),
    )
  } finally {
    await processes.end(child)
    if (child.exitCode !== 0) console.error(readFileSync(log, 'utf8'))
    rmSync(data, { recursive: true, force: true })
  }
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
