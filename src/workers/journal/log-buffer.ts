import { assert } from '../../shared/assert.ts'
import { BLOCK_HEADER_BYTES, BlockFlag, blockBytes, sealBlock } from '../../shared/format/block.ts'
import type { JournalHeader } from '../../shared/format/journal-header.ts'
import { PAGE_BYTES } from '../../shared/limits.ts'
import { ring } from '../../shared/memory/doorbell.ts'
import { GrowingMemory } from '../../shared/memory/growing-memory.ts'
import {
  hasReached,
  type JournalMemory,
  SlotField,
  slotFields,
  Word,
} from '../../shared/memory/journal-memory.ts'
import { advance, SlotState, tryAdvance } from '../../shared/memory/slot-state.ts'
import { type EncodeCounters, EncodeMeter } from './encode-meter.ts'

// The appender's half of the log buffer: frames go into the filling slot, a sealed slot belongs to
// the flusher.
//
// Invariants, asserted:
// - a block starts at a page of the journal where no block was before; its LSN gives that place
// - block numbers are dense, and each names the hash of the one before
// - a slot is filled only while it is Free, and not touched from Sealed on
// - `durableThrough` names only blocks whose end the durable LSN has passed

/** The place of the next block: right after the last block that recovery accepted. */
export type JournalEnd = {
  readonly file: JournalHeader
  /** In that file. */
  readonly position: number
  /** Number and header hash of the last block; 0 and zeros before the first. */
  readonly blockNumber: number
  readonly blockHash: string
}

/** A block on its way to the disk, or the last one that got there. */
export type BlockMark = {
  readonly number: number
  readonly hash: string
  readonly file: number
  /** LSN of its end. */
  readonly endLsn: number
}

/** A journal file that the appender will need. */
export type FileWanted = {
  readonly number: number
  readonly firstLsn: number
  readonly capacity: number
}

type Filling = {
  readonly block: Buffer
  readonly external: SharedArrayBuffer | undefined
  readonly lsn: number
  used: number
}

export class LogBuffer {
  readonly #memory: JournalMemory
  readonly #fileCapacity: number
  readonly #sendExternal: (block: SharedArrayBuffer) => void
  /** For oversize blocks, one a slot. */
  readonly #external = [new GrowingMemory(), new GrowingMemory()]
  readonly #encoding: EncodeMeter
  #files = { made: 0, reused: 0 }
  #slot = 0
  #filling: Filling | undefined
  #file: JournalHeader
  #next: JournalHeader | undefined
  #position: number
  #last: BlockMark
  #durable: BlockMark
  readonly #sealed: BlockMark[] = []
  /** Capacity that an oversize block asks of the next file. */
  #capacityWanted: number
  #awaitsFile = false

  /** @param fileCapacity bytes of blocks in an ordinary journal file */
  constructor(
    memory: JournalMemory,
    fileCapacity: number,
    end: JournalEnd,
    sendExternal: (block: SharedArrayBuffer) => void,
    monotonicMs: () => number,
  ) {
    this.#encoding = new EncodeMeter(monotonicMs)
    this.#memory = memory
    this.#fileCapacity = fileCapacity
    this.#capacityWanted = fileCapacity
    this.#sendExternal = sendExternal
    this.#file = end.file
    this.#position = end.position
    const endLsn = this.#lsnOf(end.position)
    this.#last = { number: end.blockNumber, hash: end.blockHash, file: end.file.number, endLsn }
    this.#durable = this.#last
    Atomics.store(memory.words, Word.durablePages, (endLsn / PAGE_BYTES) | 0)
  }

  /** The last block that is on stable storage. */
  get durable(): BlockMark {
    return this.#durable
  }

  /** LSN of the end of the last block, the one being filled included. */
  get endLsn(): number {
    return this.#filling === undefined
      ? this.#last.endLsn
      : this.#filling.lsn + blockBytes(this.#filling.used - BLOCK_HEADER_BYTES)
  }

  /** Number of the last block that was sealed. */
  get sealedNumber(): number {
    return this.#last.number
  }

  /** Epoch of the current journal file. */
  get epoch(): number {
    return this.#file.epoch
  }

  /** Whether the last attempt to find room failed for want of a next journal file. */
  get awaitsFile(): boolean {
    return this.#awaitsFile
  }

  get hasFrames(): boolean {
    return this.#filling !== undefined
  }

  get encodeCounters(): EncodeCounters {
    return this.#encoding.counters
  }

  /** Counts of the journal files prepared since the start: newly made and reused ones. */
  get files(): { readonly made: number; readonly reused: number } {
    return this.#files
  }

  /** Whether everything sealed has been flushed. */
  get isFlusherIdle(): boolean {
    return this.#stateOf(0) < SlotState.Sealed && this.#stateOf(1) < SlotState.Sealed
  }

  /**
   * Reserves room for a frame of `bytes`. Returns the buffer and the frame's start in it, or
   * undefined while both slots are busy or the next journal file is not ready.
   */
  reserve(bytes: number): { readonly block: Buffer; readonly at: number } | undefined {
    if (this.#filling !== undefined && this.#filling.used + bytes > this.#filling.block.length) {
      this.seal(BlockFlag.Data)
    }
    this.#filling ??= this.#begin(blockBytes(bytes))
    this.#encoding.begin()
    return this.#filling && { block: this.#filling.block, at: this.#filling.used }
  }

  /** Takes the frame written to the reserved room. Returns the LSN of its end. */
  commit(bytes: number): number {
    const filling = this.#filling
    assert(filling !== undefined, 'a frame was committed without a reservation')
    filling.used += bytes
    assert(filling.used <= filling.block.length, 'a frame is larger than the room it reserved')
    this.#encoding.end(!this.isFlusherIdle)
    return filling.lsn + filling.used
  }

  /**
   * Hands the filling slot, or an empty block for a seal, to the flusher. False while no slot is
   * free.
   */
  seal(flag: number): boolean {
    const filling = this.#filling ?? this.#begin(PAGE_BYTES)
    if (filling === undefined) return false
    const { words } = this.#memory
    const number = this.#last.number + 1
    const { bytes, hash } = sealBlock(filling.block, {
      flags: flag,
      epoch: this.#file.epoch,
      bodyLength: filling.used - BLOCK_HEADER_BYTES,
      number,
      lsn: filling.lsn,
      durableThrough: this.#durable.number,
      salt: this.#file.salt,
      previousHash: this.#last.hash,
    })
    const endLsn = filling.lsn + bytes
    const fields = slotFields(this.#slot)
    words[fields + SlotField.file] = this.#file.number
    words[fields + SlotField.position] = this.#position / PAGE_BYTES
    words[fields + SlotField.bytes] = bytes
    words[fields + SlotField.endPages] = (endLsn / PAGE_BYTES) | 0
    words[fields + SlotField.external] = filling.external === undefined ? 0 : 1
    if (filling.external !== undefined) this.#sendExternal(filling.external)
    this.#position += bytes
    this.#last = { number, hash, file: this.#file.number, endLsn }
    this.#sealed.push(this.#last)
    this.#filling = undefined
    // Publishes the block and its fields to the flusher.
    advance(words, this.#stateWord, SlotState.Filling, SlotState.Sealed)
    ring(words, Word.sealed)
    this.#slot = 1 - this.#slot
    return true
  }

  /**
   * Updates `durable` from shared memory, and returns the durable LSN. Nothing else moves
   * `durable`, so the caller can apply newly durable frames before any code sees the new mark.
   */
  observe(): number {
    const pages = Atomics.load(this.#memory.words, Word.durablePages)
    while (this.#sealed.length > 0) {
      const mark = this.#sealed[0] as BlockMark
      if (!hasReached(pages, (mark.endLsn / PAGE_BYTES) | 0)) break
      this.#durable = mark
      this.#sealed.shift()
    }
    return this.#durable.endLsn
  }

  /**
   * Takes every block that is not synced from the flusher, for good: `durablePages` does not move
   * afterwards. Publishes a block that the flusher has synced but not published yet.
   */
  freeze(): void {
    const { words } = this.#memory
    for (const [slot, word] of Word.slots.entries()) {
      if (tryAdvance(words, word, SlotState.Sealed, SlotState.Failed)) continue
      if (tryAdvance(words, word, SlotState.Flushing, SlotState.Failed)) continue
      if (Atomics.load(words, word) !== SlotState.Synced) continue
      // The flusher may store the same value at this moment; the exchange never moves it back.
      const seen = Atomics.load(words, Word.durablePages)
      const endPages = words[slotFields(slot) + SlotField.endPages] as number
      if (!hasReached(seen, endPages)) {
        Atomics.compareExchange(words, Word.durablePages, seen, endPages)
      }
    }
    ring(words, Word.sealed) // wakes the flusher, which stops
  }

  /** The file to prepare now, if any: the current one is half full, or a block waits for it. */
  get fileWanted(): FileWanted | undefined {
    const { number, firstLsn, capacity } = this.#file
    const enough = this.#next !== undefined && this.#next.capacity >= this.#capacityWanted
    const early = this.#position - PAGE_BYTES < capacity / 2
    // A block of more than half a file may find no room in a file that is less than half full.
    const isAwaited = this.#awaitsFile || this.#capacityWanted > this.#fileCapacity
    if (enough || (early && !isAwaited)) return undefined
    return { number: number + 1, firstLsn: firstLsn + capacity, capacity: this.#capacityWanted }
  }

  /** Takes a prepared file that follows the current one. */
  offerFile(header: JournalHeader, isReused: boolean): void {
    const { number, firstLsn, capacity } = this.#file
    assert(header.number === number + 1, `file ${header.number} follows ${number}`)
    assert(
      header.firstLsn === firstLsn + capacity,
      'journal files follow one another without a gap',
    )
    this.#next = header
    this.#awaitsFile = false
    this.#files[isReused ? 'reused' : 'made'] += 1
  }

  #begin(bytes: number): Filling | undefined {
    const { words, slots } = this.#memory
    if (this.#stateOf(this.#slot) !== SlotState.Free) return undefined
    const slot = slots[this.#slot] as Buffer
    const room = Math.max(bytes, slot.length)
    if (this.#position + room > PAGE_BYTES + this.#file.capacity && !this.#turnPage(room)) {
      return undefined
    }
    advance(words, this.#stateWord, SlotState.Free, SlotState.Filling)
    // The slot was free, so the memory of its last oversize block is unused.
    const external = bytes > slot.length ? this.#external[this.#slot]?.take(bytes) : undefined
    const block = external === undefined ? slot : Buffer.from(external, 0, bytes)
    return { block, external, lsn: this.#lsnOf(this.#position), used: BLOCK_HEADER_BYTES }
  }

  /** Switches to the next file if it is ready and holds `room`. */
  #turnPage(room: number): boolean {
    this.#capacityWanted = Math.max(this.#capacityWanted, room)
    // The write-back thread may be replacing `#next` by a larger file of the same number. A block
    // written to the smaller file now, e.g. an idle seal, would be lost, so never switch to it.
    this.#awaitsFile = this.#next === undefined || this.#next.capacity < this.#capacityWanted
    if (this.#next === undefined || this.#awaitsFile) return false
    this.#file = this.#next
    this.#next = undefined
    this.#position = PAGE_BYTES
    this.#capacityWanted = this.#fileCapacity
    return true
  }

  #lsnOf(position: number): number {
    return this.#file.firstLsn + position - PAGE_BYTES
  }

  get #stateWord(): number {
    return Word.slots[this.#slot] as number
  }

  #stateOf(slot: number): number {
    return Atomics.load(this.#memory.words, Word.slots[slot] as number)
  }
}
