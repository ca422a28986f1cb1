import type { ServerResponse } from 'node:http'
import { toProblem, toStoreError } from '../http/failures.ts'
import type { Sink } from './subscription.ts'
import type { Cursor } from './tail-message.ts'

/** A subscriber that reads server-sent events. */
export class EventStreamSink implements Sink {
  readonly format = 'sse'
  readonly #response: ServerResponse
  #waiting: { readonly bytes: number; readonly resolve: () => void } | undefined
  readonly #onSent = () => this.#release()

  constructor(response: ServerResponse) {
    this.#response = response
    response.on('close', () => this.#release())
  }

  get bufferedBytes(): number {
    return this.#response.writableLength
  }

  send(message: Buffer, onTaken: () => void): void {
    this.#response.write(message, () => {
      onTaken()
      this.#release()
    })
  }

  drained(bytes: number): Promise<void> {
    return new Promise(resolve => {
      this.#waiting = { bytes, resolve }
      this.#release()
    })
  }

  sendLive(): void {
    this.#response.write(': live\n\n', this.#onSent)
  }

  sendHeartbeat(): void {
    this.#response.write(': heartbeat\n\n', this.#onSent)
  }

  /** With an id: a client that comes back for more is told that there is none. */
  endClosed({ nextOffset, lastHash }: Cursor): void {
    const id = lastHash === null ? `${nextOffset}` : `${nextOffset}.${lastHash}`
    const data = JSON.stringify({ nextOffset })
    this.#response.end(`id: ${id}\nevent: closed\ndata: ${data}\n\n`)
  }

  endFailed(error: unknown): void {
    const problem = JSON.stringify(toProblem(toStoreError(error)))
    this.#response.end(`event: error\ndata: ${problem}\n\n`)
  }

  #release(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    const isOpen = !this.#response.destroyed
    if (isOpen && this.#response.writableLength > waiting.bytes) return
    this.#waiting = undefined
    waiting.resolve()
  }
}
