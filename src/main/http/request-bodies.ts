import type { IncomingMessage } from 'node:http'
import { StoreError } from '../../shared/errors.ts'
import { ArrivingBody, type BodyDone, bodyTooLarge, noRoomForBody } from './arriving-body.ts'
import type { BodyBudget } from './body-budget.ts'
import { SweepClock } from './sweep-clock.ts'

type Arrival = { readonly body: ArrivingBody; seen: number; seenAtMs: number }

/** The request bodies of a server: each is charged as it arrives, and slow senders are cut off. */
export class RequestBodies {
  readonly #budget: BodyBudget
  readonly #idleMs: number
  readonly #clock: SweepClock
  readonly #bodies = new WeakMap<IncomingMessage, ArrivingBody>()
  readonly #arriving = new Map<IncomingMessage, Arrival>()
  readonly #timer: NodeJS.Timeout

  /**
   * @param idleMs longest time between two parts of a body
   * @param now milliseconds of a clock that never goes back
   */
  constructor(budget: BodyBudget, idleMs: number, now: () => number) {
    this.#budget = budget
    this.#idleMs = idleMs
    const stepMs = Math.max(1, idleMs / 4)
    this.#clock = new SweepClock(now, stepMs)
    this.#timer = setInterval(() => this.sweep(), stepMs).unref()
  }

  /**
   * Admits or refuses a body by the headers of its request, before any of it is read.
   * @throws StoreError body_too_large, overloaded, unsupported_media_type
   */
  admit(request: IncomingMessage, bytesMax: number): void {
    const announced = Number(request.headers['content-length'] ?? 0)
    if (announced > bytesMax) throw bodyTooLarge(bytesMax)
    if (!this.#budget.hasRoom(announced)) {
      throw noRoomForBody()
    }
    this.#bodies.set(request, new ArrivingBody(request, this.#budget, bytesMax))
  }

  /** Reads a body that was admitted; it stays charged until `release`. */
  read(request: IncomingMessage, done: BodyDone): void {
    const body = this.#bodies.get(request)
    if (body === undefined) {
      return done(new StoreError('internal', 'a request body was not admitted'))
    }
    this.#arriving.set(request, { body, seen: 0, seenAtMs: this.#clock.ms })
    body.read((failure, bytes) => {
      this.#arriving.delete(request)
      done(failure, bytes)
    })
  }

  /** Releases the body's bytes to the budget. Idempotent. */
  release(request: IncomingMessage): void {
    this.#bodies.get(request)?.release()
  }

  /** Fails the body of `request`. Returns false if none is being read. */
  fail(request: IncomingMessage, failure: StoreError): boolean {
    const arrival = this.#arriving.get(request)
    arrival?.body.fail(failure)
    return arrival !== undefined
  }

  /** Cuts off the senders that were silent for too long. */
  sweep(): void {
    this.#clock.sweep()
    const nowMs = this.#clock.ms
    for (const arrival of this.#arriving.values()) {
      const { body, seen, seenAtMs } = arrival
      if (body.arrived !== seen || body.isDecoding) {
        arrival.seen = body.arrived
        arrival.seenAtMs = nowMs
      } else if (nowMs - seenAtMs >= this.#idleMs) {
        const detail = `the body is not complete, and no byte of it arrived for ${this.#idleMs} ms`
        body.fail(new StoreError('request_timeout', detail))
      }
    }
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
