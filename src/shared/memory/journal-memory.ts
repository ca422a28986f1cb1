import { assert } from '../assert.ts'
import { PAGE_BYTES } from '../limits.ts'

// The memory that a shard, its flusher and the front end share:
//
//   control page (4 KiB) | slot 0 | slot 1
//
// It is a WebAssembly.Memory, because that is page-aligned. Each word below has its own 64-byte
// line, so that writers of different words do not slow one another.

const WASM_PAGE_BYTES = 65_536
const LINE_WORDS = 16
const line = (number: number) => number * LINE_WORDS

/** Indexes into `words`. */
export const Word = {
  /** SlotState of slot 0 and of slot 1. Writers: appender and flusher, each its own edges. */
  slots: [line(0), line(1)],
  /** Rung by the appender after sealing; the flusher waits on it. */
  sealed: line(2),
  /**
   * Rung by the flusher after every flush and by whoever sets `failure`; appender and front end
   * wait on it.
   */
  flushed: line(3),
  /** Durable LSN in pages, modulo 2^32. Writer: flusher, after a sync returned 0. */
  durablePages: line(4),
  /** A FailureCode. Whoever finds it 0 sets it, once. */
  failure: line(5),
  /** 1 while the flusher waits for disk space. Writer: flusher. */
  blocked: line(6),
  /** 1 when the flusher shall leave. Writer: appender. */
  stop: line(7),
  /** A DirectIo. Writers: the shard before it starts the flusher, from then on the flusher. */
  directIo: line(10),
} as const

export const FailureCode = {
  None: 0,
  Write: 1,
  Sync: 2,
  Slot: 3,
  Thread: 4,
  Stall: 5,
  Checkpoint: 6,
} as const
export type FailureCode = (typeof FailureCode)[keyof typeof FailureCode]

/** How the journal is written. */
export const DirectIo = {
  Off: 0,
  On: 1,
  /** Asked for, but not to be had: the journal goes through the page cache. */
  Unavailable: 2,
} as const
export type DirectIo = (typeof DirectIo)[keyof typeof DirectIo]

/**
 * What the appender says of the block in a slot, before it seals it; indexes from
 * `slotFields(slot)`.
 */
export const SlotField = {
  /** Journal file number. */
  file: 0,
  /** Position in that file, pages. */
  position: 1,
  bytes: 2,
  /** Durable LSN once this block is synced, pages modulo 2^32. */
  endPages: 3,
  /** 1 when the block is not in the slot but in a buffer sent to the flusher's port. */
  external: 4,
} as const

const SLOT_FIELDS_LINE = 8
const COUNTERS_LINE = 12

/** Indexes into `counters`: written by the flusher alone, read for metrics. */
export const Counter = { flushes: 0, flushedBytes: 1, writeMicros: 2, syncMicros: 3 } as const
const COUNTERS = 4

export type JournalMemory = {
  readonly memory: WebAssembly.Memory
  readonly words: Int32Array
  readonly counters: BigUint64Array
  readonly slots: readonly [Buffer, Buffer]
}

/** Memory for two slots of `slotBytes`, a multiple of the page; all words are 0. */
export function createJournalMemory(slotBytes: number): JournalMemory {
  assert(slotBytes % PAGE_BYTES === 0, 'a slot is a whole number of pages')
  const pages = Math.ceil((PAGE_BYTES + 2 * slotBytes) / WASM_PAGE_BYTES)
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
  return viewJournalMemory(memory, slotBytes)
}

/** The views of memory that another thread created. */
export function viewJournalMemory(memory: WebAssembly.Memory, slotBytes: number): JournalMemory {
  return {
    memory,
    words: new Int32Array(memory.buffer, 0, PAGE_BYTES / 4),
    counters: new BigUint64Array(memory.buffer, COUNTERS_LINE * LINE_WORDS * 4, COUNTERS),
    slots: [
      Buffer.from(memory.buffer, PAGE_BYTES, slotBytes),
      Buffer.from(memory.buffer, PAGE_BYTES + slotBytes, slotBytes),
    ],
  }
}

/** Where the fields of `slot` start in `words`: a line that only the appender writes. */
export function slotFields(slot: number): number {
  return line(SLOT_FIELDS_LINE + slot)
}

/**
 * Whether the durable LSN, as pages modulo 2^32, has reached `pages`. Holds while the two are less
 * than 2^31 pages (8 TiB) apart, which the bound on the journal keeps.
 */
export function hasReached(durablePages: number, pages: number): boolean {
  return ((durablePages - pages) | 0) >= 0
}
