import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Replies } from './replies.ts'

const READ_BUFFER_BYTES = 64 * 1024

/** One keep-alive connection with at most one request in flight. */
export class Client {
  readonly #socket: Socket
  readonly #replies: Replies
  #isClosing = false
  #onReply: ((nowMs: number) => void) | undefined
  #onFailure: (error: Error) => void

  private constructor(port: number, replies: Replies, onFailure: (error: Error) => void) {
    this.#replies = replies
    this.#onFailure = onFailure
    // `onread` skips the stream machinery and the allocation of each chunk.
    const callback = (length: number, bytes: Uint8Array) => this.#take(bytes, length)
    const onread = { buffer: Buffer.allocUnsafe(READ_BUFFER_BYTES), callback }
    this.#socket = connect({ host: '127.0.0.1', port, noDelay: true, onread })
    this.#socket.on('error', error => this.#fail(error))
    this.#socket.on('close', () => this.#fail(new Error('the connection was closed')))
  }

  /** `onFailure` is called at most once, for a wrong answer or a lost connection. */
  static async open(
    port: number,
    replies: Replies,
    onFailure: (error: Error) => void,
  ): Promise<Client> {
    const client = new Client(port, replies, onFailure)
    await once(client.#socket, 'connect')
    return client
  }

  /** `request` must not change before `onReply`, which may send the next one. */
  send(request: Uint8Array, onReply: (nowMs: number) => void): void {
    this.#onReply = onReply
    this.#socket.write(request)
  }

  close(): void {
    this.#isClosing = true
    this.#socket.destroy()
  }

  #take(bytes: Uint8Array, length: number): boolean {
    try {
      const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, length)
      if (this.#replies.push(chunk)) this.#onReply?.(performance.now())
    } catch (error) {
      this.#fail(error as Error)
    }
    return true
  }

  #fail(error: Error): void {
    if (this.#isClosing) return
    this.close()
    this.#onFailure(error)
  }
}
