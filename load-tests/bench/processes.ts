import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import type { Job, JobAnswer, Measurement } from '../generator/jobs.ts'

/** Longer than the service gives its own shutdown. */
const END_LIMIT_MS = 35_000
const READY_LIMIT_MS = 30_000
const READY_POLL_MS = 25
/** A generator's time on top of warm-up and measurement: connecting, the last answers. */
const JOB_GRACE_MS = 30_000
const LOG_TAIL_CHARACTERS = 800

/** Every process that the bench starts, each ended by its own pid. */
export class Processes {
  readonly #running = new Set<ChildProcess>()

  /** Both outputs go to `logPath`. */
  start(
    command: string,
    args: readonly string[],
    logPath: string,
    options: {
      /** Whether the terminal's Ctrl-C passes it by. */
      readonly detached?: boolean
      /** Added to this process's own. */
      readonly env?: Readonly<Record<string, string>>
    } = {},
  ): ChildProcess {
    const { detached = false, env } = options
    const log = openSync(logPath, 'a')
    try {
      const stdio = ['ignore', log, log] as const
      return this.#track(
        spawn(command, args, { detached, stdio: [...stdio], env: { ...process.env, ...env } }),
      )
    } finally {
      closeSync(log)
    }
  }

  /** A process of this project, `entry` beside bench.js, with a channel for messages. */
  fork(entry: string): ChildProcess {
    const path = new URL(`../${entry}`, import.meta.url).pathname
    return this.#track(fork(path, { serialization: 'advanced' }))
  }

  /** Runs one job in a generator of its own. @throws Error what the generator failed with */
  async generate(job: Job): Promise<Measurement> {
    const generator = this.fork('generator.js')
    const limitMs = job.timing.warmupMs + job.timing.measureMs + JOB_GRACE_MS
    try {
      generator.send(job)
      const answer = await firstMessage<JobAnswer>(generator, limitMs)
      if (answer.kind === 'failed') throw new Error(answer.reason)
      return answer.measurement
    } finally {
      await this.end(generator)
    }
  }

  /** SIGTERM, and SIGKILL for what does not listen. */
  async end(child: ChildProcess): Promise<void> {
    if (hasEnded(child)) return
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), END_LIMIT_MS)
    await ended
    clearTimeout(timer)
  }

  /** For the way out: nothing waits any more. */
  killAll(): void {
    for (const child of this.#running) child.kill('SIGKILL')
  }

  #track(child: ChildProcess): ChildProcess {
    this.#running.add(child)
    child.once('exit', () => this.#running.delete(child))
    child.once('error', () => this.#running.delete(child))
    return child
  }
}

/** Asks again and again until `isReady`. @throws Error with the end of the log when it never is */
export async function untilReady(
  child: ChildProcess,
  logPath: string,
  isReady: () => Promise<boolean>,
): Promise<void> {
  const deadlineMs = performance.now() + READY_LIMIT_MS
  while (!(await isReady().catch(() => false))) {
    if (hasEnded(child) || performance.now() > deadlineMs) {
      const log = readFileSync(logPath, 'utf8').slice(-LOG_TAIL_CHARACTERS).trim()
      throw new Error(`it did not get ready: ${log}`)
    }
    await new Promise(resolve => {
      setTimeout(resolve, READY_POLL_MS)
    })
  }
}

/** The first message of `child`. @throws Error when it ends or takes too long */
export function firstMessage<Message>(child: ChildProcess, limitMs: number): Promise<Message> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('it took too long')), limitMs)
    child.once('message', message => {
      clearTimeout(timer)
      resolve(message as Message)
    })
    child.once('exit', (code, signal) => {
      clearTimeout(timer)
      reject(new Error(`it ended with ${signal ?? `code ${code}`}`))
    })
  })
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null
}
