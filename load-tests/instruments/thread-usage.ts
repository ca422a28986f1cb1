import { existsSync, readdirSync, readFileSync } from 'node:fs'

// Processor time and context switches of each thread of another process, from Linux's /proc.

/** Threads that no script started: V8's helpers, libuv's pool. */
const OTHER_THREADS = 'V8 and libuv'

export type ObservedProcess = {
  readonly pid: number
  /** Lines of "<thread id> <role>"; without it only the main thread is told from the others. */
  readonly rolesPath?: string
}

export type Usage = {
  /** Processor time, µs, by what the threads do. */
  readonly micros: Readonly<Record<string, number>>
  readonly contextSwitches: number
}

export function totalMicros({ micros }: Usage): number {
  return Object.values(micros).reduce((sum, time) => sum + time, 0)
}

type ThreadUsage = { readonly nanos: number; readonly switches: number }

export class UsageSample {
  readonly #threads: ReadonlyMap<string, ThreadUsage>

  private constructor(threads: ReadonlyMap<string, ThreadUsage>) {
    this.#threads = threads
  }

  /** @returns undefined where there is no such /proc */
  static take({ pid }: ObservedProcess): UsageSample | undefined {
    const tasks = `/proc/${pid}/task`
    if (!existsSync(tasks)) return undefined
    const usages = readdirSync(tasks).flatMap(id => {
      const usage = readThread(`${tasks}/${id}`)
      return usage === undefined ? [] : [[id, usage] as const]
    })
    return new UsageSample(new Map(usages))
  }

  /** What the process used since `before`. A thread that ended meanwhile is not counted. */
  since(before: UsageSample, observed: ObservedProcess): Usage {
    const roles = readRoles(observed)
    const micros: Record<string, number> = {}
    let contextSwitches = 0
    for (const [id, usage] of this.#threads) {
      const { nanos, switches } = before.#threads.get(id) ?? { nanos: 0, switches: 0 }
      const role = roles.get(id) ?? OTHER_THREADS
      micros[role] = (micros[role] ?? 0) + (usage.nanos - nanos) / 1000
      contextSwitches += usage.switches - switches
    }
    return { micros, contextSwitches }
  }
}

/** @returns undefined for a thread that has ended */
function readThread(path: string): ThreadUsage | undefined {
  try {
    const [nanos] = readFileSync(`${path}/schedstat`, 'utf8').split(' ')
    const status = readFileSync(`${path}/status`, 'utf8')
    const counts = [...status.matchAll(/^(?:non)?voluntary_ctxt_switches:\s+(\d+)$/gm)]
    return { nanos: Number(nanos), switches: counts.reduce((sum, [, n]) => sum + Number(n), 0) }
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

function readRoles({ pid, rolesPath }: ObservedProcess): Map<string, string> {
  const roles = new Map([[String(pid), 'main']])
  if (rolesPath === undefined) return roles
  for (const [, id = '', role = ''] of readFileSync(rolesPath, 'utf8').matchAll(/^(\d+) (.+)$/gm)) {
    roles.set(id, role)
  }
  return roles
}
