import { StoreError } from '../../shared/errors.ts'

/** Limits how many tasks run at once. Others wait in order of arrival; an abort ends the wait. */
export class WaitingLine {
  readonly #places: number
  readonly #waitingMax: number
  readonly #waiting = new Set<() => void>()
  #taken = 0

  /**
   * @param places tasks that may run at once
   * @param waitingMax tasks that may wait; further ones are refused
   */
  constructor(places: number, waitingMax = Number.POSITIVE_INFINITY) {
    this.#places = places
    this.#waitingMax = waitingMax
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /**
   * Runs `work` once there is a place for it. Passes on any error of `work`.
   * @throws StoreError overloaded when too many tasks wait, or `signal` is aborted before its turn
   */
  async run<Result>(work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    if (signal?.aborted === true) throw clientGone()
    if (this.#taken === this.#places) await this.#turn(signal)
    else this.#taken += 1
    try {
      return await work()
    } finally {
      this.#leave()
    }
  }

  /** Waits until a place is handed over; `#taken` does not change by that. */
  #turn(signal: AbortSignal | undefined): Promise<void> {
    if (this.#waiting.size >= this.#waitingMax) {
      const detail = `${this.#waitingMax} verified reads are waiting already; try again later`
      throw new StoreError('overloaded', detail)
    }
    return new Promise((resolve, reject) => {
      const onTurn = () => {
        this.#waiting.delete(onTurn)
        signal?.removeEventListener('abort', onGone)
        resolve()
      }
      const onGone = () => {
        this.#waiting.delete(onTurn)
        reject(clientGone())
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

/** Returns the failure of a read whose client has disconnected; nobody receives it. */
export function clientGone(): StoreError {
  return new StoreError('overloaded', 'the client disconnected before its read began')
}
