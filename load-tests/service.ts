import type { ChildProcess } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { type Processes, untilReady } from './bench/processes.ts'

// Starts the built service in a process of its own, on any free port of the loopback interface.

const ENTRY = new URL('../src/main/index.js', import.meta.url).pathname
const THREAD_ROLE = new URL('instruments/thread-role.js', import.meta.url).href
const URL_LOGGED = /"url":"(http:\/\/127\.0\.0\.1:(\d+))"/

export type ServiceOptions = {
  readonly processes: Processes
  /** Its data directory. */
  readonly data: string
  /** File that its log is added to. */
  readonly log: string
  /** Options of `varve serve`. */
  readonly flags?: readonly string[]
  readonly nodeFlags?: readonly string[]
  /** File to which each thread adds its id and what it does. */
  readonly threadRoles?: string
  /** Whether the terminal's Ctrl-C passes it by. */
  readonly isDetached?: boolean
}

export type Service = {
  readonly child: ChildProcess
  readonly url: string
  readonly port: number
  /** From its start until it said where it listens. */
  readonly startMs: number
}

/** Resolves once the service is ready. @throws Error with the end of its log when it never is */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { processes, data, log, flags = [], nodeFlags = [], threadRoles, isDetached } = options
  if (!existsSync(ENTRY)) throw new Error('dist/src/main/index.js is not built')
  const logged = existsSync(log) ? statSync(log).size : 0
  const place = ['--data', data, '--port', '0', '--log-format', 'json', '--log-level', 'info']
  const preload = threadRoles === undefined ? [] : ['--import', THREAD_ROLE]
  const args = [...nodeFlags, ...preload, ENTRY, 'serve', ...place, ...flags]
  const startedMs = performance.now()
  const child = processes.start(process.execPath, args, log, {
    detached: isDetached ?? false,
    env: threadRoles === undefined ? {} : { VARVE_BENCH_THREADS: threadRoles },
  })
  const found: { service?: Service | undefined } = {}
  const isReady = async () => {
    found.service ??= findService(child, readFileSync(log).subarray(logged).toString(), startedMs)
    const { service } = found
    return service !== undefined && (await fetch(`${service.url}/v1/ready`)).ok
  }
  try {
    await untilReady(child, log, isReady)
    if (found.service === undefined) throw new Error('it is ready, but has no address')
    return found.service
  } catch (error) {
    await processes.end(child)
    throw error
  }
}

function findService(child: ChildProcess, log: string, startedMs: number): Service | undefined {
  const [, url, port] = URL_LOGGED.exec(log) ?? []
  if (url === undefined) return undefined
  return { child, url, port: Number(port), startMs: Math.round(performance.now() - startedMs) }
}
