import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { sleep, type Trial, until } from './trial.ts'

/** Longest to wait until every thread is traced. */
const ATTACH_MS = 5_000

/** What strace does to system calls of another process. */
export type Injection = {
  readonly call: string
  /** As strace writes it, e.g. `error=EIO` or `delay_enter=300000`. */
  readonly effect: string
  /** Which calls of each thread: `3` the third, `3+` the third and all after it. */
  readonly when: string
  /** Only calls on these paths; all when empty. */
  readonly paths: readonly string[]
}

/** Options of strace for an injection, written down in `trace`. */
function straceOptions({ call, effect, when, paths }: Injection, trace: string): string[] {
  const inject = `inject=${call}:${effect}:when=${when}`
  const options = ['-f', '-qq', '-o', trace, '-e', `trace=${call}`, '-e', inject]
  return options.concat(...paths.map(path => ['-P', path]))
}

/** Calls in a trace that were tampered with. */
function injectedCalls(trace: string): number {
  if (!existsSync(trace)) return 0
  return readFileSync(trace, 'utf8')
    .split('\n')
    .filter(line => /\((INJECTED|DELAYED)\)/.test(line)).length
}

/** Injects into a process that runs, until `detach`. */
export class Strace {
  readonly #child: ChildProcess
  readonly #trace: string

  private constructor(child: ChildProcess, trace: string) {
    this.#child = child
    this.#trace = trace
  }

  static async attach(trial: Trial, pid: number, injection: Injection): Promise<Strace> {
    const trace = trial.path('trace')
    const options = straceOptions(injection, trace)
    const child = spawn('strace', [...options, '-p', `${pid}`], { stdio: 'ignore' })
    trial.defer(() => child.kill('SIGKILL'))
    const isAttached = await until(ATTACH_MS, async () => {
      const tasks = readdirSync(`/proc/${pid}/task`)
      return tasks.every(task => isTraced(pid, task)) ? true : undefined
    })
    if (isAttached === undefined) throw new Error(`strace could not attach to ${pid}`)
    return new Strace(child, trace)
  }

  /** Lets the process go on untouched; says how many calls were tampered with. */
  async detach(): Promise<number> {
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGINT')
    // It lets go at the next stop of the process, which a process without load may not make.
    if ((await Promise.race([ended, sleep(ATTACH_MS)])) === undefined) this.#child.kill('SIGKILL')
    return injectedCalls(this.#trace)
  }
}

function isTraced(pid: number, task: string): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8')
    return !/^TracerPid:\s+0$/m.test(status)
  } catch {
    return true // it ended in between
  }
}
