import type { BodyBudget } from '../http/body-budget.ts'

/** Of a control frame from a client: two bytes, and the mask. RFC 6455 section 5.2. */
const CONTROL_HEADER_BYTES = 6

/**
 * The bytes of a message that has not arrived whole, charged to the budget. Up to one read of the
 * socket behind the end of a message is not counted, and a control frame between two fragments is.
 */
export class PartialMessage {
  readonly #budget: BodyBudget
  #charged = 0
  #controlBytes = 0
  #isCompleted = false

  constructor(budget: BodyBudget) {
    this.#budget = budget
  }

  /** A message arrived whole, or none will. */
  complete(): void {
    this.#budget.release(this.#charged)
    this.#charged = 0
    this.#isCompleted = true
  }

  /** A ping or pong came with so many bytes; it is no part of any message. */
  onControl(bytes: number): void {
    this.#controlBytes += CONTROL_HEADER_BYTES + bytes
  }

  /** The socket was read, and what ended in it was said. False: the budget has no room. */
  onChunk(bytes: number): boolean {
    const isCompleted = this.#isCompleted
    const added = bytes - this.#controlBytes
    this.#isCompleted = false
    this.#controlBytes = 0
    if (isCompleted) return true
    const charged = Math.max(0, this.#charged + added)
    if (!this.#budget.hasRoom(charged - this.#charged)) return false
    this.#budget.charge(charged - this.#charged)
    this.#charged = charged
    return true
  }
}
