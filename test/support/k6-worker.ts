import { register } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import { Bridge } from './k6-bridge.ts'
import { type CheckCounts, makeModules, type MetricSums } from './k6-modules.ts'
import type { K6Step, K6Thread } from './k6-run.ts'

// Entry of the thread that stands for one virtual user.

type Script = Readonly<Record<string, (data: unknown) => unknown>>

const { script, env, vu, flag } = workerData as K6Thread
const port = parentPort
if (port === null) throw new Error('this is no thread')

const checks: CheckCounts = {}
const sums: MetricSums = {}
const bridge = new Bridge((workerData as K6Thread).bridge, flag)
const { modules, scenario } = makeModules(bridge, vu, checks, sums)
Object.assign(globalThis, { __ENV: env, k6Modules: modules })

/** The source of a module that hands on what is in `k6Modules`. */
function sourceOf(name: string, keys: readonly string[]): string {
  return keys
    .map(key => {
      const value = `globalThis.k6Modules['${name}'].${key}`
      return key === 'default' ? 'export default ' + value : `export const ${key} = ${value}`
    })
    .join('\n')
}

const sources = Object.entries(modules).map(([name, it]) => [name, sourceOf(name, Object.keys(it))])
const hooks = [
  `const sources = new Map(${JSON.stringify(sources)})`,
  'export const resolve = (name, context, next) => sources.has(name)',
  '  ? { url: "stand-in:" + name, shortCircuit: true } : next(name, context)',
  'export const load = (url, context, next) => url.startsWith("stand-in:")',
  '  ? { format: "module", shortCircuit: true, source: sources.get(url.slice(9)) }',
  '  : next(url, context)',
].join('\n')
register(`data:text/javascript,${encodeURIComponent(hooks)}`)

const loaded = (await import(script)) as Script
port.on('message', ({ name, data, times }: K6Step) => {
  let result: unknown
  for (scenario.iteration = 0; scenario.iteration < times; scenario.iteration += 1) {
    result = loaded[name]?.(data)
  }
  port.postMessage({ result: result ?? null, checks, sums })
})
port.postMessage({ options: JSON.parse(JSON.stringify(loaded['options'])) as unknown })
