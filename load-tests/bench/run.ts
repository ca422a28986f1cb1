import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describeMachine } from './machine.ts'
import { Processes } from './processes.ts'

/** Of the repository; this runs as dist/load-tests/bench/run.js. */
const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

export type Scratch = { readonly processes: Processes; readonly directory: string }

/** A directory and processes that are gone when this process ends, on Ctrl-C too. */
export function openScratch(name: string): Scratch {
  const parent = join(ROOT, 'load-tests', 'scratch')
  mkdirSync(parent, { recursive: true })
  const directory = mkdtempSync(join(parent, `${name}-`))
  const processes = new Processes()
  process.once('exit', () => {
    processes.killAll()
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  return { processes, directory }
}

/** The machine and its load now, for the head of a table. */
export function machineLines(directory: string): string {
  const { processor, cores, system, node, varve, loadAverage, fileSystem } = describeMachine(
    ROOT,
    directory,
  )
  return [
    `machine      ${processor}, ${cores} cores, ${system}, load ${loadAverage.join(' ')}`,
    `versions     Varve ${varve}, Node ${node}`,
    `file system  ${fileSystem.type} on ${fileSystem.device} (${fileSystem.options})`,
  ].join('\n')
}
