import type { Socket } from 'node:net'
import type { FastifyBaseLogger } from 'fastify'
import type { WebSocket } from 'ws'
import { crash } from '../../shared/assert.ts'
import { ERRORS, StoreError } from '../../shared/errors.ts'
import { SESSION_ANSWER_BYTES_MAX, SESSION_IN_FLIGHT_BYTES_MAX } from '../../shared/limits.ts'
import { Queue } from '../../shared/queue.ts'
import type { AppendAnswers } from '../http/append-answer.ts'
import type { BodyBudget } from '../http/body-budget.ts'
import { toAppendFailure } from '../http/failures.ts'
import type { AppendLimits } from '../http/http-config.ts'
import type { PartialMessages } from '../http/partial-messages.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { AppendResult } from '../../shared/protocol/streams.ts'
import type { AppendRequest, StreamStore } from '../store.ts'
import { PartialMessage } from './partial-message.ts'
import {
  type Asker,
  type Decoded,
  decodeBinary,
  decodeText,
  encodeFailure,
  encodeResult,
} from './session-message.ts'

// One connection of the append session.
//
// - A message is taken in the order in which it came, and its append is given to the store then:
//   so appends to one stream are applied in that order.
// - Answers leave in the order in which messages were taken, whenever each append ends; all that
//   are ready in one turn leave in one write.
// - At most `sessionInFlightMax` messages are taken and unanswered, and no more of their bytes than
//   SESSION_IN_FLIGHT_BYTES_MAX, a longer one alone. Past either, while the client leaves answers
//   unread, and while the budget has no room, the socket is not read. What a last read brought
//   beyond that waits in `#backlog`, at most one read's worth.
// - A message is charged to the budget while it arrives (`PartialMessage`), and from when it is
//   taken until its append ended, whatever becomes of the connection.

const GOING_AWAY = 1001
/** Close codes of failures: this, plus the status less 400. */
const FAILURE_BASE = 4000

/** What all sessions share. */
export type SessionParts = {
  readonly store: StreamStore
  readonly limits: AppendLimits & { readonly sessionInFlightMax: number }
  readonly budget: BodyBudget
  readonly metrics: Metrics
  readonly answers: AppendAnswers
  readonly partialMessages: PartialMessages
  readonly log: FastifyBaseLogger
}

type Message = { readonly data: Buffer; readonly isBinary: boolean }

/** A message that was taken: its answer, or the close code that is sent in its place. */
type Pending = { readonly asker: Asker; answer: string | Buffer | undefined } | Closing
type Closing = { readonly asker: undefined; readonly answer: number; readonly reason: string }

/** `ending`: nothing more is taken, what was is answered, then the last of `#unanswered` closes. */
type State = 'open' | 'ending' | 'ended'

export class Session {
  readonly #socket: WebSocket
  readonly #connection: Socket
  readonly #parts: SessionParts
  readonly #partial: PartialMessage
  readonly #unanswered = new Queue<Pending>()
  readonly #backlog = new Queue<Message>()
  #state: State = 'open'
  #isFlushScheduled = false
  /** Bytes of messages that were taken and whose append has not ended. */
  #charged = 0
  #onEnded: () => void = () => undefined
  /** Resolves once nothing more is sent but the end of the connection. */
  readonly ended = new Promise<void>(resolve => {
    this.#onEnded = resolve
  })

  /** @param connection what carries `socket` */
  constructor(socket: WebSocket, connection: Socket, parts: SessionParts) {
    this.#socket = socket
    this.#connection = connection
    this.#parts = parts
    this.#partial = new PartialMessage(parts.budget)
    socket.on('message', (data, isBinary) => this.#onMessage(data as Buffer, isBinary))
    socket.on('ping', data => this.#partial.onControl(data.length))
    socket.on('pong', data => this.#partial.onControl(data.length))
    socket.on('error', () => this.#end()) // the socket has closed itself, with the code that fits
    socket.on('close', () => this.#end())
    connection.on('data', chunk => this.#onChunk(chunk.length))
    connection.on('drain', () => this.#proceed())
    parts.partialMessages.watch(socket, connection, () => this.#onLate())
  }

  /** Messages that were taken and not answered. */
  get unanswered(): number {
    return this.#unanswered.length
  }

  /** Answers what was taken, refuses what waits, closes. Idempotent. */
  stop(): void {
    if (this.#state !== 'open') return
    const failure = new StoreError('shutting_down', 'the service is shutting down')
    for (let message = this.#backlog.shift(); message; message = this.#backlog.shift()) {
      const decoded = this.#decode(message)
      if (decoded !== undefined) this.#refuse(decoded.asker, failure.withOutcome('not_applied'))
    }
    this.#close(GOING_AWAY, 'the service is shutting down')
  }

  #onMessage(data: Buffer, isBinary: boolean): void {
    this.#partial.complete()
    if (this.#state !== 'open') return
    const message = { data, isBinary }
    if (this.#backlog.length === 0 && this.#mayTake(message)) this.#take(message)
    else this.#backlog.push(message)
    this.#steer()
  }

  /** After the socket has made messages of the chunk. */
  #onChunk(bytes: number): void {
    if (this.#state !== 'open' || this.#partial.onChunk(bytes)) return
    this.#close(closeCodeOf('overloaded'), 'too many request bodies are in memory')
  }

  #onLate(): void {
    if (this.#state !== 'open') return
    this.#close(closeCodeOf('request_timeout'), 'the message took too long to arrive')
  }

  #mayTake({ data }: Message): boolean {
    const { limits, budget } = this.#parts
    if (this.#unanswered.length >= limits.sessionInFlightMax) return false
    if (this.#connection.writableLength > SESSION_ANSWER_BYTES_MAX) return false
    // With nothing of its own in flight nothing of its own can make room: it is refused instead.
    if (this.#charged === 0) return true
    const bytes = data.length
    return this.#charged + bytes <= SESSION_IN_FLIGHT_BYTES_MAX && budget.hasRoom(bytes)
  }

  #take(message: Message): void {
    const decoded = this.#decode(message)
    if (decoded === undefined) {
      const detail = 'a binary message is too short to have an id'
      return this.#close(closeCodeOf('invalid_request'), detail)
    }
    const { asker, append } = decoded
    const bytes = message.data.length
    if (append instanceof StoreError) return this.#refuse(asker, append)
    if (!this.#parts.budget.hasRoom(bytes)) {
      const failure = new StoreError('overloaded', 'too many request bodies are in memory')
      return this.#refuse(asker, failure.withOutcome('not_applied'))
    }
    this.#parts.budget.charge(bytes)
    this.#charged += bytes
    const pending: Pending = { asker, answer: undefined }
    this.#unanswered.push(pending)
    this.#append(pending, append, bytes).catch(crash)
  }

  #decode({ data, isBinary }: Message): Decoded | undefined {
    const { limits } = this.#parts
    return isBinary ? decodeBinary(data, limits) : decodeText(data, limits)
  }

  async #append(
    pending: Extract<Pending, { asker: Asker }>,
    request: AppendRequest,
    bytes: number,
  ): Promise<void> {
    const { store, budget } = this.#parts
    const startedAt = performance.now()
    const batchBytes = request.batch.length
    let failure: StoreError | undefined
    let result: AppendResult | undefined
    try {
      result = await store.append(request)
    } catch (error) {
      failure = toAppendFailure(error)
    }
    budget.release(bytes)
    this.#charged -= bytes
    const { asker } = pending
    if (failure !== undefined) pending.answer = this.#failureOf(asker, failure)
    else if (result !== undefined) {
      this.#count(request, batchBytes, result, performance.now() - startedAt)
      pending.answer = encodeResult(asker, request, result, this.#parts.answers)
    }
    this.#scheduleFlush()
  }

  #count(
    { count }: AppendRequest,
    bytes: number,
    { duplicate }: AppendResult,
    milliseconds: number,
  ): void {
    const { metrics } = this.#parts
    if (duplicate) metrics.onDuplicate()
    else metrics.onAppend(count, bytes, milliseconds)
    metrics.onSessionAppend('ok')
  }

  #refuse(asker: Asker, failure: StoreError): void {
    this.#unanswered.push({ asker, answer: this.#failureOf(asker, failure) })
    this.#scheduleFlush()
  }

  #failureOf(asker: Asker, failure: StoreError): string | Buffer {
    const { metrics, log } = this.#parts
    metrics.onSessionAppend(failure.code)
    if (failure.code === 'internal') {
      log.error({ err: failure.cause ?? failure, code: failure.code }, 'an append failed')
    }
    return encodeFailure(asker, failure)
  }

  /** Once what was taken is answered. */
  #close(code: number, reason: string): void {
    this.#state = 'ending'
    this.#unanswered.push({ asker: undefined, answer: code, reason })
    this.#scheduleFlush()
    this.#steer()
  }

  /** After everything else of this turn, so that what is ready by then goes out together. */
  #scheduleFlush(): void {
    if (this.#isFlushScheduled || this.#state === 'ended') return
    this.#isFlushScheduled = true
    process.nextTick(this.#flush)
  }

  readonly #flush = (): void => {
    this.#isFlushScheduled = false
    if (this.#state === 'ended') return
    this.#connection.cork()
    for (let head = this.#unanswered.peek(); head?.answer !== undefined; ) {
      this.#unanswered.shift()
      this.#send(head)
      head = this.#unanswered.peek()
    }
    this.#connection.uncork()
    this.#proceed()
  }

  #send(pending: Pending): void {
    const { answer } = pending
    if (pending.asker === undefined) return this.#finish(pending)
    // The client may have closed; then nobody is answered any more.
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(answer ?? '')
  }

  /** What still arrives is read, for the end of the handshake is in it, and ignored. */
  #finish({ answer: code, reason }: Closing): void {
    this.#socket.close(code, reason)
    this.#end()
    if (code !== GOING_AWAY && code !== closeCodeOf('invalid_request')) this.#discard()
    else this.#socket.resume()
  }

  /** Nothing of what arrives is kept: it would be kept without being charged. */
  #discard(): void {
    this.#connection.removeAllListeners('data')
    this.#connection.resume()
    this.#connection.end()
  }

  #proceed(): void {
    for (
      let message = this.#backlog.peek();
      message !== undefined && this.#state === 'open' && this.#mayTake(message);
      message = this.#backlog.peek()
    ) {
      this.#backlog.shift()
      this.#take(message)
    }
    this.#steer()
  }

  /** Reads the socket while more may be taken, and only then. */
  #steer(): void {
    if (this.#state === 'ended') return
    const isFull =
      this.#state === 'ending' ||
      this.#backlog.length > 0 ||
      this.#unanswered.length >= this.#parts.limits.sessionInFlightMax ||
      this.#connection.writableLength > SESSION_ANSWER_BYTES_MAX
    if (isFull === this.#socket.isPaused) return
    if (isFull) {
      if (this.#state === 'open') this.#parts.metrics.onSessionPause()
      this.#socket.pause()
    } else this.#socket.resume()
  }

  #end(): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#partial.complete()
    this.#backlog.clear()
    this.#unanswered.clear()
    this.#onEnded()
  }
}

function closeCodeOf(code: 'overloaded' | 'invalid_request' | 'request_timeout'): number {
  return FAILURE_BASE + ERRORS[code].status - 400
}
