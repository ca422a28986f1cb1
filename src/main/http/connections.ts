import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { StoreError } from '../../shared/errors.ts'
import { Queue } from '../../shared/queue.ts'
import { endWithProblem, type Malformed, toMalformed } from './failures.ts'
import { SweepClock } from './sweep-clock.ts'

// Tracks the connections of a server and their unanswered requests.
//
// - At most PIPELINED_MAX requests of a connection are served at a time; the others wait, in order.
// - A fault in a body that is arriving is the answer to its request. A fault in the bytes after
//   complete requests is sent after their answers, so an applied append is never answered with it.
// - After its last answer a connection is destroyed after a grace period, whether the peer has read
//   the answer or not. A connection whose peer takes no bytes for too long is destroyed too.

/** How often a closing server looks for idle connections; a new one has this long to send bytes. */
const POLL_MS = 100
const PIPELINED_MAX = 16
/** Requests that wait for their turn: of one connection, and of all. */
const WAITING_MAX = 1000
const WAITING_ALL_MAX = 20_000
/** Time that a peer has to read a last answer. */
const LAST_ANSWER_MS = 1000

export type ConnectionLimits = {
  /** Time after which a peer that takes none of the bytes that wait for it is cut off. */
  readonly responseIdleMs: number
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number
  /** Fails the body of a request that is arriving; false when nobody reads its body. */
  readonly failBody: (request: IncomingMessage, failure: StoreError) => boolean
  /** Hears of each connection that is cut off. */
  readonly onCut: (reason: CutReason) => void
}
export type CutReason = 'slow_reader' | 'pipelining'

type Connection = {
  /** Requests whose response has not ended. */
  unanswered: number
  /** Of them, those that are being served. */
  served: number
  readonly waiting: Queue<() => void>
  /** The last request, and whether it was answered. */
  last: Exchange | undefined
  malformed: Malformed | undefined
  /** How far the peer had taken the bytes that wait for it, and since when; see `progressOf`. */
  taken: string
  takenAtMs: number
}
type Exchange = { readonly request: IncomingMessage; isServed: boolean; isAnswered: boolean }

export class Connections {
  readonly #limits: ConnectionLimits
  readonly #open = new Map<Socket, Connection>()
  readonly #exchanges = new WeakMap<IncomingMessage, Exchange>()
  readonly #sweepMs: number
  readonly #clock: SweepClock
  #server: Server | undefined
  #waiting = 0

  constructor(limits: ConnectionLimits) {
    this.#limits = limits
    this.#sweepMs = Math.max(1, limits.responseIdleMs / 8)
    this.#clock = new SweepClock(limits.now, this.#sweepMs)
  }

  /** Tracks the connections of `server`. Call it before any other listener is added. */
  attach(server: Server): void {
    this.#server = server
    server.on('connection', (socket: Socket) => this.#add(socket))
    server.prependListener('request', (request, response) => this.#onRequest(request, response))
    const timer = setInterval(() => this.sweep(), this.#sweepMs)
    timer.unref()
    server.once('close', () => clearInterval(timer))
  }

  /** Whether a connection has unanswered requests. */
  isBusy(socket: Socket): boolean {
    return (this.#open.get(socket)?.unanswered ?? 0) > 0
  }

  /** Calls `serve` when it is the turn of `request` among those of its connection. */
  enter(request: IncomingMessage, serve: () => void): void {
    const connection = this.#open.get(request.socket)
    const exchange = this.#exchanges.get(request)
    if (connection === undefined || exchange === undefined) return serve() // an upgrade
    const start = () => {
      connection.served += 1
      exchange.isServed = true
      serve()
    }
    if (connection.served < PIPELINED_MAX) return start()
    if (connection.waiting.length >= WAITING_MAX || this.#waiting >= WAITING_ALL_MAX) {
      return this.#cut(request.socket, 'pipelining')
    }
    this.#waiting += 1
    connection.waiting.push(start)
  }

  /** Handles an error of Node's HTTP parser or of its timers. */
  onMalformed(error: Error & { readonly code?: string }, socket: Socket): void {
    const connection = this.#open.get(socket)
    if (connection === undefined || error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy()
      return
    }
    const malformed = toMalformed(error)
    const { last } = connection
    if (last !== undefined && !last.request.complete) {
      // The request has its answer; a second one would be taken for another request's.
      if (last.isAnswered) return destroyLater(socket)
      if (this.#limits.failBody(last.request, malformed.failure)) return
    }
    connection.malformed = malformed
    this.#sayLast(socket, connection)
  }

  /** Cuts off peers that have taken none of their waiting bytes for `responseIdleMs`. */
  sweep(): void {
    const { responseIdleMs } = this.#limits
    this.#clock.sweep()
    const nowMs = this.#clock.ms
    for (const [socket, connection] of this.#open) {
      const taken = socket.writableLength === 0 ? '' : progressOf(socket)
      if (taken === '' || taken !== connection.taken) {
        connection.taken = taken
        connection.takenAtMs = nowMs
      } else if (nowMs - connection.takenAtMs >= responseIdleMs) this.#cut(socket, 'slow_reader')
    }
  }

  /**
   * Runs `close`, which stops listening, and makes sure that it ends: closes idle connections, and
   * after `graceMs` all others. Node's own close would wait for silent new connections, and for
   * those that became idle after the close began.
   */
  async drain(close: () => Promise<void>, graceMs: number): Promise<void> {
    const poll = setInterval(() => this.#closeIdle(), POLL_MS)
    const deadline = setTimeout(() => this.#closeAll(), graceMs)
    try {
      await close()
    } finally {
      clearInterval(poll)
      clearTimeout(deadline)
    }
  }

  #add(socket: Socket): void {
    const connection: Connection = {
      unanswered: 0,
      served: 0,
      waiting: new Queue(),
      last: undefined,
      malformed: undefined,
      taken: '',
      takenAtMs: 0,
    }
    this.#open.set(socket, connection)
    socket.once('close', () => {
      this.#open.delete(socket)
      this.#waiting -= connection.waiting.length
      connection.waiting.clear()
    })
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    const connection = this.#open.get(socket)
    if (connection === undefined) return
    const exchange: Exchange = { request, isServed: false, isAnswered: false }
    this.#exchanges.set(request, exchange)
    connection.unanswered += 1
    connection.last = exchange
    response.once('close', () => {
      exchange.isAnswered = true
      connection.unanswered -= 1
      if (exchange.isServed) this.#leave(socket, connection)
      this.#sayLast(socket, connection)
    })
  }

  #leave(socket: Socket, connection: Connection): void {
    connection.served -= 1
    if (socket.destroyed) return // nobody waits for the answers to the waiting requests
    const next = connection.waiting.shift()
    if (next === undefined) return
    this.#waiting -= 1
    next()
  }

  #sayLast(socket: Socket, { malformed, unanswered }: Connection): void {
    if (malformed === undefined || unanswered > 0) return
    if (socket.writable) endWithProblem(socket, malformed)
    destroyLater(socket)
  }

  /** Destroys a connection, once: Node still parses the bytes that it has read. */
  #cut(socket: Socket, reason: CutReason): void {
    if (socket.destroyed) return
    socket.destroy()
    this.#limits.onCut(reason)
  }

  #closeIdle(): void {
    this.#server?.closeIdleConnections()
    for (const socket of this.#open.keys()) if (socket.bytesRead === 0) socket.destroy()
  }

  #closeAll(): void {
    for (const socket of this.#open.keys()) socket.destroy()
  }
}

function destroyLater(socket: Socket): void {
  setTimeout(() => socket.destroy(), LAST_ANSWER_MS).unref()
}

/**
 * Returns a text that changes whenever the kernel takes bytes of `socket`. `bytesWritten` moves
 * only with a whole write, which may be a page of 64 MiB. So this also uses the size of libuv's
 * queue from a private member, as Node's own timeouts do.
 */
function progressOf(socket: Socket): string {
  const { _handle: handle } = socket as { _handle?: { readonly writeQueueSize?: number } | null }
  return `${socket.bytesWritten - socket.writableLength} ${handle?.writeQueueSize ?? 0}`
}
