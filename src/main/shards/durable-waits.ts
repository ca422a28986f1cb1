import { crash } from '../../shared/assert.ts'
import { StoreError } from '../../shared/errors.ts'
import { ring, whenChanged } from '../../shared/memory/doorbell.ts'
import {
  Counter,
  DirectIo,
  FailureCode,
  hasReached,
  type JournalMemory,
  Word,
} from '../../shared/memory/journal-memory.ts'
import type { ShardStatus } from '../../shared/protocol/streams.ts'
import { Queue } from '../../shared/queue.ts'

export type FlushCounters = {
  readonly flushes: number
  readonly flushedBytes: number
  readonly writeSeconds: number
  readonly syncSeconds: number
}

const DIRECT_IO_NAMES: Readonly<Record<DirectIo, NonNullable<ShardStatus['directIo']>>> = {
  [DirectIo.Off]: 'off',
  [DirectIo.On]: 'on',
  [DirectIo.Unavailable]: 'unavailable',
}

type Wait = {
  readonly pages: number
  readonly release: () => void
  readonly refuse: (error: StoreError) => void
}

/**
 * Answers that wait for a shard's durable LSN, released on this thread straight from the shared
 * memory: no message, one wake-up for all that a flush made durable.
 */
export class DurableWaits {
  readonly #memory: JournalMemory
  readonly #waits = new Queue<Wait>()
  #isWatching = false
  #isAbandoned = false

  constructor(memory: JournalMemory) {
    this.#memory = memory
  }

  hasReached(pages: number): boolean {
    return hasReached(Atomics.load(this.#memory.words, Word.durablePages), pages)
  }

  get failure(): FailureCode {
    return Atomics.load(this.#memory.words, Word.failure) as FailureCode
  }

  get directIo(): NonNullable<ShardStatus['directIo']> {
    const state = Atomics.load(this.#memory.words, Word.directIo) as DirectIo
    return DIRECT_IO_NAMES[state]
  }

  /** What the flusher has counted. */
  get flushCounters(): FlushCounters {
    const count = (counter: number) => Number(Atomics.load(this.#memory.counters, counter))
    return {
      flushes: count(Counter.flushes),
      flushedBytes: count(Counter.flushedBytes),
      writeSeconds: count(Counter.writeMicros) / 1e6,
      syncSeconds: count(Counter.syncMicros) / 1e6,
    }
  }

  /** Calls `release` once the durable LSN has reached `pages`, or `refuse` when it never will. */
  add(pages: number, release: () => void, refuse: (error: StoreError) => void): void {
    if (this.hasReached(pages)) return release()
    this.#waits.push({ pages, release, refuse })
    if (!this.#isWatching) this.#watch().catch(crash)
  }

  /** Refuses everything that is not durable by now: its shard is gone. */
  abandon(): void {
    this.#isAbandoned = true
    this.#settle()
    ring(this.#memory.words, Word.flushed) // nobody else does any more: the watch ends
  }

  async #watch(): Promise<void> {
    this.#isWatching = true
    const { words } = this.#memory
    for (;;) {
      const seen = Atomics.load(words, Word.flushed) // before the durable LSN is looked at
      this.#settle()
      if (this.#waits.length === 0) break
      await whenChanged(words, Word.flushed, seen)
    }
    this.#isWatching = false
  }

  #settle(): void {
    // The failure is looked at first: what became durable before it is still answered as durable.
    const isOver = this.#isAbandoned || this.failure !== FailureCode.None
    const durable = Atomics.load(this.#memory.words, Word.durablePages)
    for (let wait = this.#waits.peek(); wait !== undefined; wait = this.#waits.peek()) {
      const isDurable = hasReached(durable, wait.pages)
      if (!isDurable && !isOver) return
      this.#waits.shift()
      if (isDurable) wait.release()
      else wait.refuse(inFlight())
    }
  }
}

/** What an append is told that was on its way when its shard failed. */
export function inFlight(): StoreError {
  return new StoreError('shard_failed', 'the shard failed while this was on its way to the disk', {
    outcome: 'unknown',
  })
}
