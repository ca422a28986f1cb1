import type { WebSocket } from 'ws'
import { ERRORS } from '../../shared/errors.ts'
import { toProblem, toStoreError } from '../http/failures.ts'
import type { Sink } from './subscription.ts'
import type { Cursor } from './tail-message.ts'

const NORMAL = 1000
const GOING_AWAY = 1001
/** Close codes of failures: this, plus the status less 400. */
const FAILURE_BASE = 4000

/** A subscriber at a WebSocket; the messages of api.md, Tail. */
export class WebSocketSink implements Sink {
  readonly format: 'json' | 'batch'
  readonly #socket: WebSocket
  readonly #isBinary: boolean
  #waiting: { readonly bytes: number; readonly resolve: () => void } | undefined
  readonly #onSent = () => this.#release()

  constructor(socket: WebSocket, format: 'json' | 'batch') {
    this.#socket = socket
    this.format = format
    this.#isBinary = format === 'batch'
    socket.on('close', () => this.#release())
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount
  }

  send(message: Buffer, onTaken: () => void): void {
    this.#socket.send(message, { binary: this.#isBinary }, () => {
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

  sendLive(cursor: Cursor): void {
    this.#sendMessage({ type: 'live', ...cursor })
  }

  sendHeartbeat(cursor: Cursor): void {
    this.#sendMessage({ type: 'heartbeat', ...cursor })
  }

  endClosed(cursor: Cursor): void {
    this.#sendMessage({ type: 'closed', ...cursor })
    this.#socket.close(NORMAL)
  }

  /** The problem's own `type` gives way to the message's. */
  endFailed(error: unknown): void {
    const failure = toStoreError(error)
    this.#sendMessage({ ...toProblem(failure), type: 'error' })
    const { status } = ERRORS[failure.code]
    this.#socket.close(failure.code === 'shutting_down' ? GOING_AWAY : FAILURE_BASE + status - 400)
  }

  #sendMessage(message: object): void {
    this.#socket.send(JSON.stringify(message), this.#onSent)
  }

  #release(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    const isOpen = this.#socket.readyState === this.#socket.OPEN
    if (isOpen && this.#socket.bufferedAmount > waiting.bytes) return
    this.#waiting = undefined
    waiting.resolve()
  }
}
