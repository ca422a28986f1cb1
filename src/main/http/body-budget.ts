import { StoreError } from '../../shared/errors.ts'

/** Bytes of request bodies in memory, bounded; each body is charged before it is read. */
export class BodyBudget {
  readonly #bytesMax: number
  #used = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get used(): number {
    return this.#used
  }

  /** @throws StoreError overloaded */
  charge(bytes: number): void {
    if (this.#used + bytes > this.#bytesMax) {
      throw new StoreError('overloaded', 'too many request bodies are in memory')
    }
    this.#used += bytes
  }

  release(bytes: number): void {
    this.#used -= bytes
  }
}
