import { WebSocket } from 'ws'
import type { Server } from './server.ts'
import { sleep, until } from './trial.ts'

// Node's inspector reaches the single threads of a process, which no signal does. The service needs
// `--inspect=127.0.0.1:0` for it and is otherwise as it is built.

/** Longest to wait for the threads to say who they are. */
const ATTACH_MS = 5_000

export const INSPECTED = ['--inspect=127.0.0.1:0']

/** A thread of the process, named by the module that it runs. */
export type Thread = { readonly session: string; readonly module: string }

type Message = {
  readonly method?: string
  readonly params?: {
    readonly sessionId?: string
    readonly workerInfo?: { readonly url?: string }
  }
}

export class Inspector {
  readonly threads: Thread[] = []
  readonly #socket: WebSocket
  #calls = 0

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('message', (data: Buffer) => {
      const { method, params } = JSON.parse(data.toString()) as Message
      if (method !== 'NodeWorker.attachedToWorker') return
      const module = /([^/]+)\.js$/.exec(params?.workerInfo?.url ?? '')?.[1] ?? ''
      this.threads.push({ session: params?.sessionId ?? '', module })
    })
  }

  /** Connects to a server that was started with `INSPECTED`. */
  static async open(server: Server): Promise<Inspector> {
    const url = /ws:\/\/\S+/.exec(server.output)?.[0]
    if (url === undefined) throw new Error('the server has no inspector')
    const socket = new WebSocket(url)
    await new Promise((done, fail) => {
      socket.once('open', done)
      socket.once('error', fail)
    })
    const inspector = new Inspector(socket)
    inspector.#call('NodeWorker.enable', { waitForDebuggerOnStart: false })
    let count = -1
    await until(ATTACH_MS, async () => {
      const isSettled = inspector.threads.length === count
      count = inspector.threads.length
      await sleep(100)
      return isSettled && count > 0 ? true : undefined
    })
    return inspector
  }

  /** Runs `expression` in a thread, at the latest when it wakes up. */
  evaluate({ session }: Thread, expression: string): void {
    const message = { id: 1, method: 'Runtime.evaluate', params: { expression } }
    this.#call('NodeWorker.sendMessageToWorker', {
      sessionId: session,
      message: JSON.stringify(message),
    })
  }

  close(): void {
    this.#socket.terminate()
  }

  #call(method: string, params: object): void {
    this.#calls += 1
    this.#socket.send(JSON.stringify({ id: this.#calls, method, params }))
  }
}
