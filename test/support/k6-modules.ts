import type { Bridge, HttpReply, SocketReply } from './k6-bridge.ts'

// As much of k6 0.49's modules as the scripts in k6/ use, and no more: what else they try is
// undefined, and fails.

export type CheckCounts = Record<string, { passes: number; fails: number }>
/** Name → sum, of counters, or number of samples, of trends. */
export type MetricSums = Record<string, number>

type Params = {
  readonly headers?: Readonly<Record<string, string>>
  readonly responseType?: 'text' | 'binary'
}
type Handler = (...values: unknown[]) => void

export function makeModules(bridge: Bridge, vu: number, checks: CheckCounts, sums: MetricSums) {
  const scenario = { iteration: 0 }
  const http = makeHttp(bridge)
  const modules = {
    k6: {
      check: (value: unknown, rules: Readonly<Record<string, (value: unknown) => unknown>>) =>
        Object.entries(rules)
          .map(([name, rule]) => count(checks, name, Boolean(rule(value))))
          .every(Boolean),
      sleep: (seconds: number) => {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000)
      },
    },
    'k6/http': { default: http },
    'k6/ws': {
      default: {
        connect: (url: string, _params: Params, setUp: (socket: FakeSocket) => void) =>
          connect(bridge, url, setUp),
      },
    },
    'k6/metrics': { Counter: makeMetric(sums, value => value), Trend: makeMetric(sums, () => 1) },
    'k6/execution': {
      default: {
        vu: {
          idInTest: vu,
          get iterationInScenario() {
            return scenario.iteration
          },
        },
      },
    },
  }
  return { modules, scenario }
}

function count(checks: CheckCounts, name: string, passed: boolean): boolean {
  const counts = (checks[name] ??= { passes: 0, fails: 0 })
  if (passed) counts.passes += 1
  else counts.fails += 1
  return passed
}

function makeMetric(sums: MetricSums, amount: (value: number) => number) {
  return class {
    readonly #name: string

    constructor(name: string) {
      this.#name = name
    }

    add(value: number): void {
      sums[this.#name] = (sums[this.#name] ?? 0) + amount(value)
    }
  }
}

function makeHttp(bridge: Bridge) {
  const send = (method: string, url: string, body: string | null, params: Params = {}) => {
    const { headers = {}, responseType } = params
    const isBinary = responseType === 'binary'
    const reply = bridge.call({ kind: 'http', method, url, body, headers, isBinary }) as HttpReply
    return { ...reply, json: () => JSON.parse(reply.body as string) as unknown }
  }
  return {
    get: (url: string, params?: Params) => send('GET', url, null, params),
    post: (url: string, body: string | null, params?: Params) => send('POST', url, body, params),
    put: (url: string, body: string | null, params?: Params) => send('PUT', url, body, params),
  }
}

class FakeSocket {
  readonly handlers = new Map<string, Handler[]>()
  readonly timers: { readonly atMs: number; readonly run: () => void }[] = []
  isClosed = false

  on(event: string, handler: Handler): void {
    this.handlers.set(event, [...(this.handlers.get(event) ?? []), handler])
  }

  setTimeout(run: () => void, ms: number): void {
    this.timers.push({ atMs: Date.now() + ms, run })
  }

  close(): void {
    this.isClosed = true
  }
}

/** As in k6: the set-up runs before the first event, and the call ends with the connection. */
function connect(bridge: Bridge, url: string, setUp: (socket: FakeSocket) => void) {
  const socket = new FakeSocket()
  const opened = bridge.call({ kind: 'open', url }) as SocketReply
  const status = opened.kind === 'open' ? opened.status : 0
  if (status !== 101) return { status }
  setUp(socket)
  while (!socket.isClosed) {
    const timer = socket.timers[0]
    const timeoutMs = Math.max(0, (timer?.atMs ?? Date.now() + 1000) - Date.now())
    const reply = bridge.call({ kind: 'next', timeoutMs }) as SocketReply
    if (reply.kind === 'message')
      for (const run of socket.handlers.get('message') ?? []) run(reply.text)
    else if (reply.kind === 'closed') break
    else if (timer !== undefined) {
      socket.timers.shift()
      timer.run()
    }
  }
  bridge.call({ kind: 'close' })
  return { status }
}
