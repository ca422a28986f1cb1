import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import { StoreError } from '../../shared/errors.ts'
import { Session, type SessionParts } from './session.ts'

/** The append sessions of a server: how many there may be, and their end. */
export class Sessions {
  readonly #parts: SessionParts
  readonly #sessionsMax: number
  readonly #open = new Set<Session>()
  #admitted = 0
  #isClosed = false

  constructor(parts: SessionParts, sessionsMax: number) {
    this.#parts = parts
    this.#sessionsMax = sessionsMax
  }

  /** Connections that are a session, or are about to become one. */
  get count(): number {
    return this.#admitted
  }

  get unanswered(): number {
    let sum = 0
    for (const session of this.#open) sum += session.unanswered
    return sum
  }

  /**
   * Gives a connection its place, until it is closed.
   * @throws StoreError too_many_requests, shutting_down
   */
  admit(connection: Socket): void {
    if (this.#isClosed) throw new StoreError('shutting_down', 'the service is shutting down')
    if (this.#admitted >= this.#sessionsMax) {
      throw new StoreError('too_many_requests', 'the service has all the sessions it allows')
    }
    if (connection.destroyed) return
    this.#admitted += 1
    connection.once('close', () => {
      this.#admitted -= 1
    })
  }

  /** @param connection admitted, and upgraded to `socket` */
  start(socket: WebSocket, connection: Socket): void {
    const session = new Session(socket, connection, this.#parts)
    this.#open.add(session)
    socket.once('close', () => this.#open.delete(session))
    if (this.#isClosed) session.stop()
  }

  /** Takes no more messages; resolves once what was taken is answered. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true
    const open = [...this.#open]
    for (const session of open) session.stop()
    await Promise.all(open.map(({ ended }) => ended))
  }
}
