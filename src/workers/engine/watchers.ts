import { MIB } from '../../shared/limits.ts'
import type { ShardEvent } from '../../shared/protocol/shard.ts'
import type { StreamLog, TailFrame } from '../streams/stream-log.ts'
import { existing } from '../streams/stream-table.ts'

/** Records of one event; more are announced without their bytes, to be read. */
const EVENT_BYTES_MAX = MIB

/** `bytes` past EVENT_BYTES_MAX: the frames are not all of it. */
type Fresh = { firstOffset: number; nextOffset: number; frames: TailFrame[]; bytes: number }

/** Where a watch begins, and of which stream (latin1). */
export type WatchStart = { readonly nextOffset: number; readonly streamId: string }

/** Tells the front end, for the streams it watches, what became durable. */
export class Watchers {
  readonly #emit: (event: ShardEvent) => void
  readonly #watched = new Map<number, StreamLog>()
  readonly #watches = new Map<StreamLog, Set<number>>()
  readonly #fresh = new Map<StreamLog, Fresh>()

  constructor(emit: (event: ShardEvent) => void) {
    this.#emit = emit
  }

  /** Begins a watch; its first event starts at the stream's durable end, which is returned. */
  add(watch: number, found: StreamLog | undefined): WatchStart {
    const log = existing(found)
    this.flush() // what is already durable belongs to earlier watches alone
    if (log.durableState !== 'open') this.#emit({ kind: 'end', watch, reason: 'closed' })
    else {
      this.#watched.set(watch, log)
      this.#watches.set(log, (this.#watches.get(log) ?? new Set()).add(watch))
    }
    return { nextOffset: log.durableNextOffset, streamId: log.id }
  }

  remove(watch: number): void {
    const log = this.#watched.get(watch)
    if (log === undefined) return
    this.#watched.delete(watch)
    const watches = this.#watches.get(log)
    watches?.delete(watch)
    if (watches?.size === 0) this.#watches.delete(log)
  }

  /**
   * Notes a frame that became durable. A checkpoint alone is not announced. Between two frames of
   * records it is sent with them, because it names the hash of the record before it.
   */
  note(log: StreamLog, frame: TailFrame): void {
    const isEmpty = frame.firstOffset === frame.nextOffset // a checkpoint alone
    if (!this.#watches.has(log) || (isEmpty && !this.#fresh.has(log))) return
    const fresh = this.#freshOf(log, frame.firstOffset)
    fresh.nextOffset = frame.nextOffset
    fresh.frames.push(frame)
    fresh.bytes += frame.length
  }

  /** Notes records that became durable in a segment: they are to be read. */
  noteUnread(log: StreamLog, firstOffset: number, nextOffset: number): void {
    if (!this.#watches.has(log)) return
    const fresh = this.#freshOf(log, firstOffset)
    fresh.nextOffset = nextOffset
    fresh.bytes = Number.POSITIVE_INFINITY
  }

  #freshOf(log: StreamLog, firstOffset: number): Fresh {
    const found = this.#fresh.get(log)
    if (found !== undefined) return found
    const fresh = { firstOffset, nextOffset: firstOffset, frames: [], bytes: 0 }
    this.#fresh.set(log, fresh)
    return fresh
  }

  /** Sends what was noted, one event a watch. */
  flush(): void {
    for (const [log, { firstOffset, nextOffset, frames, bytes }] of this.#fresh) {
      const records = bytes > EVENT_BYTES_MAX ? null : concatFrames(frames, bytes)
      // All that is durable by now was noted, so this is the hash of the last one noted.
      const lastHash = log.durableRecordHash
      for (const watch of this.#watches.get(log) ?? []) {
        this.#emit({ kind: 'records', watch, firstOffset, nextOffset, records, lastHash })
      }
    }
    this.#fresh.clear()
  }

  /** Ends the watches of one stream, after everything noted before. */
  end(log: StreamLog, reason: 'closed' | 'deleted'): void {
    this.flush()
    for (const watch of this.#watches.get(log) ?? []) {
      this.#watched.delete(watch)
      this.#emit({ kind: 'end', watch, reason })
    }
    this.#watches.delete(log)
  }
}

/** A copy of the frames' records, back to back. */
export function concatFrames(frames: readonly TailFrame[], bytes: number): Uint8Array {
  const records = Buffer.allocUnsafeSlow(bytes)
  let at = 0
  for (const frame of frames) {
    at += frame.chunk.bytes.copy(records, at, frame.at, frame.at + frame.length)
  }
  return records
}
