import { StoreError } from '../../shared/errors.ts'
import { Queue } from '../../shared/queue.ts'

/** Lets so many tasks run at a time; further ones wait in order, but not too many of them. */
export class Gate {
  readonly #runningMax: number
  readonly #waitingMax: number
  readonly #waiting = new Queue<() => void>()
  #running = 0

  constructor(runningMax: number, waitingMax: number) {
    this.#runningMax = runningMax
    this.#waitingMax = waitingMax
  }

  /** @throws StoreError overloaded when too many wait, and what `task` throws */
  async run<Result>(task: () => Promise<Result>): Promise<Result> {
    if (this.#running < this.#runningMax) this.#running += 1
    else await this.#wait()
    try {
      return await task()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running -= 1
      else next() // takes over the place
    }
  }

  #wait(): Promise<void> {
    if (this.#waiting.length >= this.#waitingMax) {
      throw new StoreError('overloaded', 'too many checks of chains wait for their turn')
    }
    return new Promise(resolve => {
      this.#waiting.push(resolve)
    })
  }
}
