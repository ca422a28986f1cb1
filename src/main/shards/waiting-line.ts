import { StoreError } from '../../shared/errors.ts'

/** Those who wait for one of a few places, first come, first served; who goes gives up its turn. */
export class WaitingLine {
  readonly #places: number
  readonly #waitingMax: number
  readonly #waiting = new Set<() => void>()
  #taken = 0

  /** @param waitingMax of those that wait; further ones are refused */
  constructor(places: number, waitingMax = Number.POSITIVE_INFINITY) {
    this.#places = places
    this.#waitingMax = waitingMax
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /**
   * Runs `work` in a place of its own.
   * @throws StoreError overloaded when too many wait, or `signal` is aborted before its turn, and
   * what `work` throws
   */
  async run<Result>(work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    if (signal?.aborted === true) throw hasGone()
    if (this.#taken === this.#places) await this.#turn(signal)
    else this.#taken += 1
    try {
      return await work()
    } finally {
      this.#leave()
    }
  }

  /** The place is handed over as it is: `#taken` does not change. */
  #turn(signal: AbortSignal | undefined): Promise<void> {
    if (this.#waiting.size >= this.#waitingMax) {
      throw new StoreError('overloaded', 'too many reads of whole chains wait for their turn')
    }
    return new Promise((resolve, reject) => {
      const onTurn = () => {
        this.#waiting.delete(onTurn)
        signal?.removeEventListener('abort', onGone)
        resolve()
      }
      const onGone = () => {
        this.#waiting.delete(onTurn)
        reject(hasGone())
      }
      this.#waiting.add(onTurn)
      signal?.addEventListener('abort', onGone, { once: true })
    })
  }

  #leave(): void {
    const [next] = this.#waiting
    if (next === undefined) this.#taken -= 1
    else next()
  }
}

/** Nobody is left to be told. */
function hasGone(): StoreError {
  return new StoreError('overloaded', 'the client went before its read was begun')
}
