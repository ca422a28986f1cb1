import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

/** The entry of the command as it is built. */
export const ENTRY = resolve(import.meta.dirname, '../../src/main/index.js')

/** Longest to wait for a server to say its address. */
const START_MS = 60_000

export type RunningServer = {
  readonly url: string
  readonly pid: number
  /** Everything it has printed. */
  output(): string
  /** Ends it at once, as a power cut would end the process. */
  kill(): Promise<void>
  /** Asks it to end; resolves with its exit code. */
  stop(): Promise<number | null>
}

export type ServerOptions = {
  readonly data: string
  readonly args?: readonly string[]
  /** What runs before the program, e.g. strace with its options. */
  readonly wrapper?: readonly string[]
}

/** Starts `varve serve` on a free port of the loopback. @throws when it ends before it listens */
export async function startServer({
  data,
  args = [],
  wrapper = [],
}: ServerOptions): Promise<RunningServer> {
  const serve = ['--enable-source-maps', ENTRY, 'serve', '--data', data, '--port', '0']
  const [program = '', ...rest] = [...wrapper, process.execPath, ...serve, ...args]
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      printed += text
    })
  }
  const url = await address(child, () => printed)
  return {
    url,
    pid: child.pid ?? 0,
    output: () => printed,
    kill: () => end(child, 'SIGKILL').then(() => undefined),
    stop: () => end(child, 'SIGTERM'),
  }
}

/** A directory of its own below the system's temporary one, removed when `use` has ended. */
export async function withDirectory<Result>(
  use: (path: string) => Promise<Result>,
): Promise<Result> {
  const path = mkdtempSync(join(tmpdir(), 'varve-'))
  try {
    return await use(path)
  } finally {
    rmSync(path, { recursive: true, force: true })
  }
}

/** Runs `use` with a server on a fresh directory, and ends both. */
export async function withServer<Result>(
  use: (server: RunningServer, data: string) => Promise<Result>,
  args: readonly string[] = [],
): Promise<Result> {
  return withDirectory(async data => {
    const server = await startServer({ data, args })
    try {
      return await use(server, data)
    } finally {
      await server.kill()
    }
  })
}

async function address(child: ChildProcess, printed: () => string): Promise<string> {
  const deadline = Date.now() + START_MS
  for (;;) {
    const found = /http:\/\/127\.0\.0\.1:\d+/.exec(printed())
    if (found !== null) return found[0]
    const hasEnded = child.exitCode !== null || child.signalCode !== null
    if (hasEnded || Date.now() > deadline) {
      throw new Error(`the server did not start:\n${printed()}`)
    }
    await new Promise(done => {
      setTimeout(done, 20)
    })
  }
}

/** Signals the child's whole group: what wraps it must not outlive it. */
async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  const ended = once(child, 'exit')
  try {
    process.kill(-(child.pid ?? 0), signal)
  } catch {
    // It ended in between.
  }
  await ended
  return child.exitCode
}
