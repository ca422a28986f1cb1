import { WebSocket } from 'ws'
import { HEARTBEAT_MS } from '../../shared/limits.ts'
import { Queue } from '../../shared/queue.ts'
import { problemOf } from './client.ts'

/** Nothing heard for so long, heartbeats neither: the connection is dead. */
const SILENCE_MS = 3 * HEARTBEAT_MS
/** A server sends about 1 MiB at a time, but one record may have more. */
const MESSAGE_BYTES_MAX = 1024 * 1024 * 1024

export type RawMessage = { readonly data: Buffer; readonly isBinary: boolean }

/** One WebSocket, whose messages are taken one by one; the server waits for a slow taker. */
export class TailConnection {
  readonly #socket: WebSocket
  readonly #messages = new Queue<RawMessage>()
  #error: Error | undefined
  #isClosed = false
  #wake: () => void = () => undefined
  closeCode = 0

  constructor(address: URL) {
    this.#socket = new WebSocket(address, { maxPayload: MESSAGE_BYTES_MAX })
    this.#socket.on('message', (data: Buffer, isBinary) => {
      this.#messages.push({ data, isBinary })
      this.#socket.pause()
      this.#wake()
    })
    this.#socket.on('unexpected-response', (_request, response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('close', () => {
        const { statusCode: status = 0, headers } = response
        this.#error = problemOf({ status, headers, body: Buffer.concat(chunks) }, address)
        this.#socket.terminate()
      })
    })
    this.#socket.on('error', error => {
      this.#error ??= error
    })
    this.#socket.on('close', code => {
      this.closeCode = code
      this.#isClosed = true
      this.#wake()
    })
  }

  /** Why there was no connection, or why it broke. */
  get error(): Error | undefined {
    return this.#error
  }

  /** Every message, until the connection is closed by either side. */
  async *messages(): AsyncGenerator<RawMessage> {
    for (;;) {
      const message = this.#messages.shift()
      if (message !== undefined) yield message
      else if (this.#isClosed) return
      else await this.#wait()
    }
  }

  close(): void {
    this.#socket.close(1000)
    // Who does not answer the close does not hold up the end.
    setTimeout(() => this.#socket.terminate(), 1000).unref()
  }

  async #wait(): Promise<void> {
    this.#socket.resume()
    const silence = setTimeout(() => this.#socket.terminate(), SILENCE_MS)
    await new Promise<void>(resolve => {
      this.#wake = resolve
    })
    clearTimeout(silence)
  }
}
