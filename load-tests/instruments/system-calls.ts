import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Processes } from '../bench/processes.ts'

/** Calls of one kind by one request, most first. */
export type SystemCalls = Readonly<Record<string, number>>

/** A line of strace's summary: share of time, seconds, µs a call, calls, errors, name. */
const LINE = /^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$/gm

/**
 * Counts the system calls of a process while `load` runs, with strace. Each call takes several
 * times longer meanwhile, so that more requests share a block: nothing else is measured here.
 * @param load resolves to the number of its requests
 */
export async function countSystemCalls(
  processes: Processes,
  { pid, directory }: { readonly pid: number; readonly directory: string },
  load: () => Promise<number>,
): Promise<SystemCalls> {
  const [summary, log] = [join(directory, 'system-calls'), join(directory, 'strace.log')]
  const args = ['-f', '-c', '-p', String(pid), '-o', summary]
  const strace = processes.start('strace', args, log)
  await attached(pid)
  const requests = await load()
  const ended = once(strace, 'exit')
  strace.kill('SIGINT') // lets go of the process and writes its summary
  await ended
  const counts = [...readFileSync(summary, 'utf8').matchAll(LINE)]
    .map(([, count, name = '']) => [name, Number(count) / requests] as const)
    .filter(([name]) => name !== 'total')
    .toSorted(([, a], [, b]) => b - a)
  if (counts.length === 0) throw new Error(`strace: ${readFileSync(log, 'utf8').slice(-200)}`)
  return Object.fromEntries(counts)
}

/** Resolves once every thread of the process is traced. */
async function attached(pid: number): Promise<void> {
  const deadlineMs = performance.now() + ATTACH_LIMIT_MS
  const isTraced = () => {
    const status = `/proc/${pid}/status`
    return existsSync(status) && !/^TracerPid:\s+0$/m.test(readFileSync(status, 'utf8'))
  }
  while (!isTraced()) {
    if (performance.now() > deadlineMs) throw new Error('strace did not attach to the process')
    await new Promise(resolve => {
      setTimeout(resolve, ATTACH_POLL_MS)
    })
  }
}

const ATTACH_LIMIT_MS = 5000
const ATTACH_POLL_MS = 20
