import type { AppendRequest } from '../../src/main/store.ts'
import type { AppendResult } from '../../src/shared/protocol/streams.ts'
import { MemoryStore } from './memory-store.ts'
import type { Random } from './random.ts'

/** A store that keeps what it was asked to append, and answers when it is let. */
export class HeldStore extends MemoryStore {
  readonly asked: AppendRequest[] = []
  /** Appends that were in flight at the same time. */
  most = 0
  #held: (() => void)[] = []
  #isOpen = false

  get held(): number {
    return this.#held.length
  }

  override append(request: AppendRequest): Promise<AppendResult> {
    this.asked.push(request)
    if (this.#isOpen) return super.append(request)
    return new Promise((resolve, reject) => {
      this.#held.push(() => {
        super.append(request).then(resolve, reject)
      })
      this.most = Math.max(this.most, this.#held.length)
    })
  }

  /** Lets the first of those that are held go on. */
  release(): void {
    this.#held.shift()?.()
  }

  /** Lets everything go on, from now on at once. */
  open(): void {
    this.#isOpen = true
    for (const go of this.#held) go()
    this.#held = []
  }
}

/** Applies at once, as a shard does, and says so when it likes. */
export class LateStore extends MemoryStore {
  readonly #random: Random

  constructor(random: Random) {
    super()
    this.#random = random
  }

  override async append(request: AppendRequest): Promise<AppendResult> {
    const applied = super.append(request)
    applied.catch(() => undefined) // it is awaited below
    for (let turns = this.#random.below(6); turns > 0; turns -= 1) {
      await new Promise(resolve => {
        setImmediate(resolve)
      })
    }
    return applied
  }
}
