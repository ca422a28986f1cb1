import { once } from 'node:events'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { WebSocket } from 'ws'
import { type BridgeRequest, type HttpReply, serveBridge, type SocketReply } from './k6-bridge.ts'
import type { CheckCounts, MetricSums } from './k6-modules.ts'

const SCRIPTS = resolve(import.meta.dirname, '../../../k6')

export type K6Thread = {
  readonly script: string
  readonly env: Readonly<Record<string, string>>
  readonly vu: number
  readonly flag: Int32Array
  readonly bridge: MessagePort
}

/** Calls an exported function so many times. */
export type K6Step = { readonly name: string; readonly data: unknown; readonly times: number }

export type K6Options = {
  readonly scenarios: Readonly<Record<string, { readonly exec: string; readonly executor: string }>>
  readonly thresholds: Readonly<Record<string, readonly string[]>>
}

export type K6Result = {
  readonly result: unknown
  readonly checks: CheckCounts
  readonly sums: MetricSums
}

/** One virtual user that runs one of the scripts in k6/. */
export class VirtualUser {
  readonly #worker: Worker
  readonly options: K6Options

  private constructor(worker: Worker, options: K6Options) {
    this.#worker = worker
    this.options = options
  }

  static async open(
    script: string,
    env: Readonly<Record<string, string>>,
    vu = 1,
  ): Promise<VirtualUser> {
    const flag = new Int32Array(new SharedArrayBuffer(4))
    const { port1, port2 } = new MessageChannel()
    serveBridge(port1, flag, makeNetwork())
    const path = pathToFileURL(resolve(SCRIPTS, `${script}.js`)).href
    const workerData: K6Thread = { script: path, env, vu, flag, bridge: port2 }
    const worker = new Worker(new URL('./k6-worker.js', import.meta.url), {
      workerData,
      transferList: [port2],
    })
    worker.once('exit', () => port1.close())
    const [{ options }] = (await once(worker, 'message')) as [{ options: K6Options }]
    return new VirtualUser(worker, options)
  }

  /** Runs an exported function; checks and sums are those of this user so far. */
  async run(name: string, data?: unknown, times = 1): Promise<K6Result> {
    this.#worker.postMessage({ name, data, times } satisfies K6Step)
    const [result] = (await once(this.#worker, 'message')) as [K6Result]
    return result
  }

  async close(): Promise<void> {
    await this.#worker.terminate()
  }
}

/** Names of the checks that failed at least once. */
export function failedChecks(...results: readonly K6Result[]): string[] {
  return results.flatMap(({ checks }) =>
    Object.entries(checks)
      .filter(([, { fails }]) => fails > 0)
      .map(([name]) => name),
  )
}

function makeNetwork(): (request: BridgeRequest) => Promise<HttpReply | SocketReply> {
  let socket: SocketQueue | undefined
  return async request => {
    switch (request.kind) {
      case 'http':
        return exchange(request)
      case 'open':
        socket = new SocketQueue(request.url)
        return { kind: 'open', status: await socket.status }
      case 'next':
        return (await socket?.next(request.timeoutMs)) ?? { kind: 'closed' }
      case 'close':
        socket?.close()
        return { kind: 'closed' }
    }
  }
}

async function exchange(request: Extract<BridgeRequest, { kind: 'http' }>): Promise<HttpReply> {
  const { method, url, body, headers, isBinary } = request
  const answer = await fetch(url, { method, headers, body })
  // k6 writes header names as Go does.
  const named = [...answer.headers].map(([name, value]) => {
    return [name.replaceAll(/(^|-)[a-z]/g, start => start.toUpperCase()), value] as const
  })
  const content = isBinary ? await answer.arrayBuffer() : await answer.text()
  return { status: answer.status, headers: Object.fromEntries(named), body: content }
}

/** A WebSocket whose messages wait until they are asked for. */
class SocketQueue {
  readonly #socket: WebSocket
  readonly #replies: SocketReply[] = []
  #wake: () => void = () => undefined
  readonly status: Promise<number>

  constructor(url: string) {
    this.#socket = new WebSocket(url)
    this.status = new Promise(resolveStatus => {
      this.#socket.once('open', () => resolveStatus(101))
      this.#socket.once('unexpected-response', (_, { statusCode }) =>
        resolveStatus(statusCode ?? 0),
      )
      this.#socket.once('error', () => resolveStatus(0))
    })
    this.#socket.on('message', (data: Buffer) => this.#add({ kind: 'message', text: String(data) }))
    this.#socket.on('close', () => this.#add({ kind: 'closed' }))
  }

  async next(timeoutMs: number): Promise<SocketReply> {
    if (this.#replies.length === 0) {
      await new Promise<void>(resolveWait => {
        this.#wake = resolveWait
        setTimeout(resolveWait, timeoutMs)
      })
    }
    return this.#replies.shift() ?? { kind: 'timeout' }
  }

  close(): void {
    this.#socket.terminate()
  }

  #add(reply: SocketReply): void {
    this.#replies.push(reply)
    this.#wake()
  }
}
