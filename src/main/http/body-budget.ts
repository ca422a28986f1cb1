import { KIB } from '../../shared/limits.ts'

/** What arrives of a body before it counts as a large one. */
const SMALL_BODY_BYTES = 64 * KIB
/** Share of the budget that large bodies leave to small ones. */
const SMALL_SHARE = 1 / 8

/**
 * Bytes of request bodies in memory, bounded; they are charged as they arrive. Large bodies cannot
 * take all of it: small appends go on beside them.
 */
export class BodyBudget {
  readonly #bytesMax: number
  readonly #largeBytesMax: number
  #used = 0

  /** @param bodyBytesMax of one body, which always fits */
  constructor(bytesMax: number, bodyBytesMax: number) {
    this.#bytesMax = bytesMax
    this.#largeBytesMax = Math.max(bytesMax * (1 - SMALL_SHARE), Math.min(bytesMax, bodyBytesMax))
  }

  get used(): number {
    return this.#used
  }

  /** @param bodyBytes of the body that `bytes` are part of, they included */
  hasRoom(bytes: number, bodyBytes = bytes): boolean {
    const bytesMax = bodyBytes > SMALL_BODY_BYTES ? this.#largeBytesMax : this.#bytesMax
    return this.#used + bytes <= bytesMax
  }

  /** Asks no question: see `hasRoom`. */
  charge(bytes: number): void {
    this.#used += bytes
  }

  release(bytes: number): void {
    this.#used -= bytes
  }
}
