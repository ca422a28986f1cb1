import { assert } from '../../shared/assert.ts'
import { blockBodyChecks, decodeBlockHeader } from '../../shared/format/block.ts'
import { journalPath } from '../../shared/format/paths.ts'
import { PAGE_BYTES } from '../../shared/limits.ts'
import { ring } from '../../shared/memory/doorbell.ts'
import {
  Counter,
  DirectIo,
  FailureCode,
  type JournalMemory,
  SlotField,
  slotFields,
  Word,
} from '../../shared/memory/journal-memory.ts'
import { advance, SlotState, tryAdvance } from '../../shared/memory/slot-state.ts'
import { refusesDirectIo, writePages } from '../disk/direct-io.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { writeFully } from '../disk/files.ts'
import type { Environment } from '../environment.ts'

// The flusher's half of the log buffer, one step at a time, so that the same code runs on a thread
// of its own and inside a simulation.
//
// Invariants, asserted:
// - slots are flushed in the order in which they were filled: 0, 1, 0, 1, ...
// - a block goes to a page boundary, and what is written is what was sealed (checked again here)
// - one block is durable before the next is written
// - the durable LSN moves only after the sync of its block returned without an error, once, and
//   never after the shard has failed: the slot says so, see slot-state.ts

export type Step =
  /** Nothing is sealed. */
  | 'idle'
  /** One block became durable. */
  | 'flushed'
  /** The disk is full, or the file cannot be opened; the next step writes the same block again. */
  | 'blocked'
  /** A write or sync failed, see `failure`, or the shard did; there is no next step. */
  | 'failed'

/** For so long a file that cannot be opened is tried again. */
const UNOPENED_MS_MAX = 10_000

export class BlockWriter {
  readonly #memory: JournalMemory
  readonly #disk: Disk
  readonly #environment: Environment
  readonly #shard: number
  /** Takes the oversize block that was sent before its slot was sealed. */
  readonly #receiveExternal: () => Buffer
  #slot = 0
  #block: Buffer | undefined
  /** Since when the journal file of the block cannot be opened. */
  #unopenedSinceMs: number | undefined
  #file: { readonly number: number; readonly handle: number } | undefined
  /** Why the last step was `failed`. */
  failure: DiskError | undefined
  /** Why direct I/O was given up, if it was. */
  fallback: DiskError | undefined

  constructor(
    memory: JournalMemory,
    disk: Disk,
    environment: Environment,
    shard: number,
    receiveExternal: () => Buffer,
  ) {
    this.#memory = memory
    this.#disk = disk
    this.#environment = environment
    this.#shard = shard
    this.#receiveExternal = receiveExternal
  }

  step(): Step {
    const { words } = this.#memory
    const state = Atomics.load(words, this.#stateWord)
    if (state === SlotState.Failed) return 'failed'
    if (this.#block === undefined) {
      // Acquires the bytes that the appender published by sealing.
      if (state !== SlotState.Sealed) return 'idle'
      if (!tryAdvance(words, this.#stateWord, SlotState.Sealed, SlotState.Flushing)) return 'failed'
      this.#block = this.#takeBlock()
    }
    try {
      this.#flush(this.#block)
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      if (this.#mayComeBack(error)) return this.#wait()
      return this.#fail(error)
    }
    this.#unopenedSinceMs = undefined
    return this.#publish() ? 'flushed' : 'failed'
  }

  /** Whether a block was taken that is not durable yet. */
  get isBusy(): boolean {
    return this.#block !== undefined
  }

  close(): void {
    if (this.#file !== undefined) this.#disk.close(this.#file.handle)
    this.#file = undefined
  }

  get #stateWord(): number {
    return Word.slots[this.#slot] as number
  }

  #field(field: number): number {
    return this.#memory.words[slotFields(this.#slot) + field] as number
  }

  #takeBlock(): Buffer {
    const bytes = this.#field(SlotField.bytes)
    const source =
      this.#field(SlotField.external) === 1
        ? this.#receiveExternal()
        : (this.#memory.slots[this.#slot] as Buffer)
    const block = source.subarray(0, bytes)
    const header = decodeBlockHeader(block, 0)
    assert(
      header !== undefined && blockBodyChecks(block, 0, header),
      'a sealed block does not match its checksums',
    )
    assert(
      block.length === bytes && bytes % PAGE_BYTES === 0,
      `a block of ${bytes} bytes is not whole pages`,
    )
    return block
  }

  #flush(block: Buffer): void {
    const started = this.#environment.monotonicMs()
    const file = this.#write(block)
    const written = this.#environment.monotonicMs()
    this.#disk.sync(file) // orders the block before the durable LSN that vouches for it
    const synced = this.#environment.monotonicMs()
    this.#count(Counter.writeMicros, (written - started) * 1000)
    this.#count(Counter.syncMicros, (synced - written) * 1000)
  }

  /** Returns the file that the block went to. */
  #write(block: Buffer): number {
    const position = this.#field(SlotField.position) * PAGE_BYTES
    const isDirect = Atomics.load(this.#memory.words, Word.directIo) === DirectIo.On
    try {
      const file = this.#journalFile(this.#field(SlotField.file), isDirect ? 'direct' : 'update')
      const write = isDirect ? writePages : writeFully
      write(this.#disk, file, block, position)
      return file
    } catch (error) {
      if (!isDirect || !refusesDirectIo(error)) throw error
      this.#fallBack(error)
      return this.#write(block) // all of it again, because nothing of it was synced
    }
  }

  #fallBack(error: DiskError): void {
    this.fallback = error
    Atomics.store(this.#memory.words, Word.directIo, DirectIo.Unavailable)
    this.close()
  }

  /** Publishes the block as durable. Returns false, and publishes nothing, if the shard failed. */
  #publish(): boolean {
    const { words } = this.#memory
    if (!tryAdvance(words, this.#stateWord, SlotState.Flushing, SlotState.Synced)) return false
    this.#count(Counter.flushes, 1)
    this.#count(Counter.flushedBytes, this.#block?.length ?? 0)
    this.#block = undefined
    Atomics.store(words, Word.blocked, 0)
    // The durable LSN first: a thread that sees the slot free must also see the new durable LSN.
    Atomics.store(words, Word.durablePages, this.#field(SlotField.endPages))
    advance(words, this.#stateWord, SlotState.Synced, SlotState.Free)
    this.#slot = 1 - this.#slot
    ring(words, Word.flushed)
    return true
  }

  /**
   * Whether a failure leaves nothing behind and may be over at the next try: no room, or a file
   * that cannot be opened, so that nothing was written. A missing file stays missing, and a disk
   * that opens nothing for long is gone: the requests that wait for it are to be answered.
   */
  #mayComeBack(error: DiskError): boolean {
    if (error.isSync) return false
    if (error.isForSpace) return true
    if (error.operation !== 'open' || error.code !== 'EIO') return false
    const now = this.#environment.monotonicMs()
    this.#unopenedSinceMs ??= now
    return now - this.#unopenedSinceMs < UNOPENED_MS_MAX
  }

  #wait(): Step {
    Atomics.store(this.#memory.words, Word.blocked, 1)
    ring(this.#memory.words, Word.flushed)
    return 'blocked'
  }

  #fail(error: DiskError): Step {
    const { words } = this.#memory
    this.failure = error
    const code = error.isSync ? FailureCode.Sync : FailureCode.Write
    Atomics.compareExchange(words, Word.failure, FailureCode.None, code)
    tryAdvance(words, this.#stateWord, SlotState.Flushing, SlotState.Failed)
    ring(words, Word.flushed)
    return 'failed'
  }

  #journalFile(number: number, mode: 'update' | 'direct'): number {
    if (this.#file?.number !== number) {
      this.close()
      const handle = this.#disk.open(journalPath(this.#shard, number), mode)
      this.#file = { number, handle }
    }
    return this.#file?.handle
  }

  #count(counter: number, amount: number): void {
    Atomics.add(this.#memory.counters, counter, BigInt(Math.round(amount)))
  }
}
