import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { text as textOf } from 'node:stream/consumers'
import { Client } from './client.ts'
import { sleep, type Trial } from './trial.ts'

/** The entry of the command as it is built. */
const ENTRY = resolve(import.meta.dirname, '../../src/main/index.js')

/** Longest to wait for a server to listen or to leave. */
const START_MS = 60_000
const STOP_MS = 40_000
/** Longest that a command may take before it counts as failed. */
const COMMAND_MS = 60_000

/** Small files, and a write-back every tenth of a second, so that every path is walked early. */
export const SMALL = [
  '--shards=2',
  '--slot-bytes=256KiB',
  '--journal-file-bytes=512KiB',
  '--journal-bytes-max=2MiB',
  '--checkpoint-interval-ms=100',
  '--retention-interval-ms=100',
  '--max-segment-bytes=64KiB',
  '--checkpoint-every=20',
  '--disk-reserve-bytes=0',
  '--direct-bytes=96KiB',
]

export type ServerOptions = {
  readonly data: string
  readonly args?: readonly string[]
  /** What runs before the program, e.g. strace with its options. */
  readonly wrapper?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Options of Node itself. */
  readonly node?: readonly string[]
  /** Kills it this long after its start, whatever it is doing. */
  readonly killAfterMs?: number
  /** Runs it as this user instead of the one that runs the tests. */
  readonly user?: number
}

/** The built service as a process of its own. */
export class Server {
  readonly url: string
  readonly client: Client
  /** Of the process that serves, below a wrapper if there is one. */
  readonly pid: number
  /** From its start to the first 200 of `/v1/ready`, or to the address where it never is. */
  readonly readyMs: number
  readonly #child: ChildProcess
  readonly #printed: () => string

  private constructor(child: ChildProcess, url: string, readyMs: number, printed: () => string) {
    this.#child = child
    this.pid = servingPid(child)
    this.url = url
    this.readyMs = readyMs
    this.#printed = printed
    this.client = new Client(url)
  }

  /**
   * Starts `varve serve` on a free port and waits until it listens; ended with the trial.
   * @throws Refused when it ends before it listens, or does not listen in time
   */
  static async start(trial: Trial, options: ServerOptions): Promise<Server> {
    const startMs = performance.now()
    const { data, args = SMALL, wrapper = [], env = {}, node = [], user } = options
    const serve = [...node, ENTRY, 'serve', '--data', data, '--port=0', '--log-format=json']
    const [program = '', ...rest] = [...wrapper, process.execPath, ...serve, ...args]
    const child = spawn(program, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
      detached: true, // leads a group, so that a wrapper ends with it
      ...(user !== undefined && { uid: user, gid: user }),
    })
    let printed = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        printed += text
      })
    }
    trial.defer(() => signal(child, 'SIGKILL'))
    const { killAfterMs } = options
    if (killAfterMs !== undefined) setTimeout(() => signal(child, 'SIGKILL'), killAfterMs)
    const url = await address(child, () => printed)
    return new Server(child, url, performance.now() - startMs, () => printed)
  }

  /** Everything that it printed. */
  get output(): string {
    return this.#printed()
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Resident memory in bytes. */
  get residentBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8')
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024
  }

  /** Whether `/v1/ready` says 200 by `limitMs`. */
  async isReady(limitMs: number): Promise<boolean> {
    const endMs = performance.now() + limitMs
    for (;;) {
      if ((await this.client.get('/v1/ready')).status === 200) return true
      if (performance.now() > endMs) return false
      await sleep(20)
    }
  }

  /** Signals the process itself, which may be gone. */
  signal(name: NodeJS.Signals): void {
    if (this.isRunning) process.kill(this.pid, name)
  }

  /** Ends it and its wrapper at once. */
  async kill(): Promise<void> {
    this.client.close()
    const ended = this.isRunning ? once(this.#child, 'exit') : undefined
    signal(this.#child, 'SIGKILL')
    await ended
  }

  /** Asks it to end; its exit code, or undefined when it had to be killed. */
  async stop(): Promise<number | undefined> {
    this.client.close()
    if (this.isRunning) {
      const ended = once(this.#child, 'exit')
      this.signal('SIGTERM')
      const left = await Promise.race([ended, sleep(STOP_MS)])
      if (left === undefined) {
        signal(this.#child, 'SIGKILL')
        return undefined
      }
    }
    return this.#child.exitCode ?? undefined
  }
}

/** The service ended before it listened, or never did. */
export class Refused extends Error {
  override readonly name = 'Refused'
}

/** What a command of the program ended with and printed. */
export type Outcome = {
  readonly code: number | null
  readonly stdout: string
  /** All that it printed. */
  readonly text: string
}

/** Runs a command of the program to its end, e.g. `verify`, as `user` if one is given. */
export async function runCommand(args: readonly string[], user?: number): Promise<Outcome> {
  const child = spawn(process.execPath, [ENTRY, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: COMMAND_MS,
    ...(user !== undefined && { uid: user, gid: user }),
  })
  const ended = once(child, 'close')
  const [stdout, stderr] = await Promise.all([textOf(child.stdout), textOf(child.stderr), ended])
  return { code: child.exitCode, stdout, text: `${stdout}${stderr}` }
}

/** What `varve verify` calls damage, short enough for a finding. */
export function damageIn({ text }: Outcome): string {
  const lines = text.split('\n').filter(line => line.startsWith('DAMAGE '))
  return (lines.length > 0 ? lines.join(' | ') : text).slice(0, 600)
}

async function address(child: ChildProcess, printed: () => string): Promise<string> {
  const endMs = performance.now() + START_MS
  for (;;) {
    const found = /varve is serving (http:\/\/127\.0\.0\.1:\d+)/.exec(printed())?.[1]
    if (found !== undefined) return found
    if (child.exitCode !== null || child.signalCode !== null) {
      await sleep(20) // its last lines may still be in the pipe
      throw new Refused(`it ended with ${child.exitCode ?? child.signalCode}: ${last(printed())}`)
    }
    if (performance.now() > endMs) throw new Refused(`it did not listen: ${last(printed())}`)
    await sleep(10)
  }
}

function servingPid(child: ChildProcess): number {
  const pid = child.pid ?? 0
  if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith(process.execPath)) return pid
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0])
}

function last(text: string): string {
  return text.trim().split('\n').slice(-3).join(' | ').slice(-400)
}

function signal(child: ChildProcess, name: NodeJS.Signals): void {
  try {
    process.kill(-(child.pid ?? 0), name)
  } catch {
    // The group is gone, which is what was wanted.
  }
}
