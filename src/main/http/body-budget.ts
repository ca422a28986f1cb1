import { KIB } from '../../shared/limits.ts'

/** A body with more bytes than this counts as large. */
const SMALL_BODY_BYTES = 64 * KIB
/** Share of the budget that large bodies leave to small ones. */
const SMALL_SHARE = 1 / 8

/**
 * Bounds the bytes of request bodies in memory, charged as they arrive. Large bodies leave a share
 * of the budget to small ones.
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

  /**
   * Whether `bytes` more fit.
   * @param bodyBytes length so far of the body that they belong to, `bytes` included
   */
  hasRoom(bytes: number, bodyBytes = bytes): boolean {
    const bytesMax = bodyBytes > SMALL_BODY_BYTES ? this.#largeBytesMax : this.#bytesMax
    return this.#used + bytes <= bytesMax
  }

  /** Charges `bytes` unconditionally; ask `hasRoom` first. */
  charge(bytes: number): void {
    this.#used += bytes
  }

  release(bytes: number): void {
    this.#used -= bytes
  }
}
