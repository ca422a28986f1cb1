import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import { SweepClock } from './sweep-clock.ts'

/** Close code of a message that did not arrive: 4000, plus 408 less 400. */
const TOO_LATE = 4008
const REASON = 'the message took too long to arrive'
/** Time that a peer has to answer the close before its connection is cut. */
const CLOSE_GRACE_MS = 1000

type Watched = {
  readonly socket: WebSocket
  readonly onLate: () => void
  /** Whether a message or control frame ended in the read of the connection that is under way. */
  hasEnded: boolean
  /** When the message began that has not ended, and when its last part came. */
  begunAtMs: number | undefined
  heardAtMs: number
}

/**
 * The WebSocket messages of a server that have begun and not ended, e.g. half a frame: their
 * senders have as much time as those of request bodies. What follows a whole message within one
 * read of the socket is seen with the next read only.
 */
export class PartialMessages {
  readonly #idleMs: number
  readonly #wholeMs: number
  readonly #clock: SweepClock
  readonly #watched = new Set<Watched>()
  readonly #timer: NodeJS.Timeout

  /**
   * @param idleMs longest time between two parts of a message
   * @param wholeMs longest time from its first part to its last
   * @param now milliseconds of a clock that never goes back
   */
  constructor(idleMs: number, wholeMs: number, now: () => number) {
    this.#idleMs = idleMs
    this.#wholeMs = wholeMs
    const stepMs = Math.max(1, idleMs / 4)
    this.#clock = new SweepClock(now, stepMs)
    this.#timer = setInterval(() => this.sweep(), stepMs).unref()
  }

  /** @param onLate ends the socket; `closeLate` unless there is more to do */
  watch(socket: WebSocket, connection: Socket, onLate = () => closeLate(socket)): void {
    const watched: Watched = {
      socket,
      onLate,
      hasEnded: false,
      begunAtMs: undefined,
      heardAtMs: 0,
    }
    const onEnded = () => {
      watched.hasEnded = true
    }
    socket.on('message', onEnded).on('ping', onEnded).on('pong', onEnded)
    // After the socket has made messages of what was read.
    connection.on('data', () => this.#onRead(watched))
    socket.once('close', () => this.#watched.delete(watched))
    this.#watched.add(watched)
  }

  /** Ends the sockets whose messages are late. */
  sweep(): void {
    this.#clock.sweep()
    const nowMs = this.#clock.ms
    for (const watched of this.#watched) {
      const { socket, begunAtMs, heardAtMs } = watched
      if (begunAtMs === undefined) continue
      if (socket.isPaused) watched.heardAtMs = nowMs
      else if (nowMs - heardAtMs >= this.#idleMs || nowMs - begunAtMs >= this.#wholeMs) {
        this.#watched.delete(watched)
        watched.onLate()
      }
    }
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #onRead(watched: Watched): void {
    const nowMs = this.#clock.ms
    watched.heardAtMs = nowMs
    if (watched.hasEnded) watched.begunAtMs = undefined
    else watched.begunAtMs ??= nowMs
    watched.hasEnded = false
  }
}

function closeLate(socket: WebSocket): void {
  socket.close(TOO_LATE, REASON)
  setTimeout(() => socket.terminate(), CLOSE_GRACE_MS).unref()
}
