import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'

// k6's calls block: its scripts have no promises. Here a script runs on a thread of its own, which
// sleeps while the main thread does the networking.

export type BridgeRequest =
  | {
      readonly kind: 'http'
      readonly method: string
      readonly url: string
      readonly body: string | null
      readonly headers: Readonly<Record<string, string>>
      readonly isBinary: boolean
    }
  | { readonly kind: 'open'; readonly url: string }
  | { readonly kind: 'next'; readonly timeoutMs: number }
  | { readonly kind: 'close' }

export type HttpReply = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | ArrayBuffer
}
export type SocketReply =
  | { readonly kind: 'open'; readonly status: number }
  | { readonly kind: 'message'; readonly text: string }
  | { readonly kind: 'closed' }
  | { readonly kind: 'timeout' }

/** The script's side: asks, and sleeps until there is an answer. */
export class Bridge {
  readonly #port: MessagePort
  readonly #flag: Int32Array

  constructor(port: MessagePort, flag: Int32Array) {
    this.#port = port
    this.#flag = flag
  }

  call(request: BridgeRequest): unknown {
    Atomics.store(this.#flag, 0, 0)
    this.#port.postMessage(request)
    Atomics.wait(this.#flag, 0, 0)
    return (receiveMessageOnPort(this.#port) as { message: unknown }).message
  }
}

/** The other side: answers, and wakes the script. */
export function serveBridge(
  port: MessagePort,
  flag: Int32Array,
  answer: (request: BridgeRequest) => Promise<unknown>,
): void {
  const reply = (message: unknown) => {
    port.postMessage(message)
    Atomics.store(flag, 0, 1)
    Atomics.notify(flag, 0)
  }
  port.on('message', (request: BridgeRequest) => {
    answer(request).then(reply, () => reply(NO_ANSWER))
  })
}

/** What k6 says of a request that failed: status 0. */
const NO_ANSWER: HttpReply = { status: 0, headers: {}, body: '' }
