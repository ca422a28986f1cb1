import { decodeFrame, type Frame, FrameFlag } from '../../shared/format/frame.ts'
import { decodeOperation, type Operation, OperationType } from '../../shared/format/operation.ts'
import { viewRecord } from '../../shared/format/record.ts'
import type { Block } from './journal-walk.ts'

export type Create = Extract<Operation, { type: typeof OperationType.Create }>

/** What a journal says of one stream's records. */
export type JournaledStream = {
  /**
   * Chain hashes between its appends. The value is the number of appends, from the first one that
   * the journal has, which are in the stream where its chain has come to that hash.
   */
  readonly chain: Map<string, number>
  /** Per append, in order: the offset of its first record, and that after its last one. */
  readonly starts: number[]
  readonly ends: number[]
}

/** Collects from the blocks of a journal what helps to rebuild streams from their segments. */
export class JournaledStreams {
  readonly #appends = new Map<string, JournaledStream>()
  readonly #creates = new Map<string, Create>()
  /** Ids (latin1) of streams that the journal deletes. */
  readonly deleted = new Set<string>()
  /** µs since 1970, of the last frame. */
  lastTimestamp = 0

  appendsTo(streamId: string): JournaledStream | undefined {
    return this.#appends.get(streamId)
  }

  /** The operation that creates a stream. */
  createOf(streamId: string): Create | undefined {
    return this.#creates.get(streamId)
  }

  note({ body }: Block): void {
    for (let at = 0; at < body.length; ) {
      const frame = decodeFrame(body, at, body.length)
      if (frame === undefined) return
      this.lastTimestamp = Math.max(this.lastTimestamp, frame.timestamp)
      if (frame.witness === undefined && frame.flags !== FrameFlag.Aborted)
        this.#noteFrame(frame, body)
      at = frame.end
    }
  }

  #noteFrame({ payloadAt, end }: Frame, body: Buffer): void {
    for (let at = payloadAt; at < end; ) {
      const operation = decodeOperation(body, at, end)
      if (operation === undefined) return
      this.#noteOperation(operation, body)
      at = operation.end
    }
  }

  #noteOperation(operation: Operation, body: Buffer): void {
    const { streamId, type } = operation
    if (type === OperationType.Create) this.#creates.set(streamId, operation)
    if (type === OperationType.Delete) this.deleted.add(streamId)
    if (type === OperationType.Append) {
      const before = viewRecord(body, operation.recordsAt)?.previousHash
      this.#noteAppend(streamId, operation, before)
    }
    if (type === OperationType.Reference) {
      this.#noteAppend(streamId, operation.reference, undefined)
    }
  }

  #noteAppend(
    streamId: string,
    { firstOffset, count, chainHead }: { firstOffset: number; count: number; chainHead: string },
    before: string | undefined,
  ): void {
    const none: JournaledStream = { chain: new Map(), starts: [], ends: [] }
    const known = this.#appends.get(streamId) ?? none
    this.#appends.set(streamId, known)
    if (before !== undefined) known.chain.set(before, known.ends.length)
    known.starts.push(firstOffset)
    known.ends.push(firstOffset + count)
    known.chain.set(chainHead, known.ends.length)
  }
}

/** How many appends of the journal a stream holds by its end alone. */
export function appendsBelow(journaled: JournaledStream | undefined, nextOffset: number): number {
  return journaled?.ends.filter(end => end <= nextOffset).length ?? 0
}

/** Whether an append of the journal has records in `[from, to)`. */
export function overlaps({ starts, ends }: JournaledStream, from: number, to: number): boolean {
  return starts.some((start, at) => start < to && (ends[at] as number) > from)
}

/** What is in a rebuilt stream already. */
export type HeldAppends = {
  /** Appends of the journal, from its first one. */
  readonly appends: number
  /** Below this offset the producers of the stream are known. */
  readonly producersKnownBelow: number
}

/**
 * Tells a replay which operations of the journal rebuilt streams hold already. Each append is to be
 * asked for once, in the order of the journal.
 */
export class HeldOperations {
  readonly #streams: ReadonlyMap<string, HeldAppends>
  readonly #deleted: ReadonlySet<string>
  readonly #seen = new Map<string, number>()

  /** @param deleted streams that are not rebuilt, because the journal deletes them */
  constructor(streams: ReadonlyMap<string, HeldAppends>, deleted: ReadonlySet<string>) {
    this.#streams = streams
    this.#deleted = deleted
  }

  has(operation: Operation): boolean {
    const { streamId, type } = operation
    if (this.#deleted.has(streamId)) return true
    const held = this.#streams.get(streamId)
    if (held === undefined) return false
    if (type === OperationType.Create) return true
    if (type !== OperationType.Append && type !== OperationType.Reference) return false
    const seen = (this.#seen.get(streamId) ?? 0) + 1
    this.#seen.set(streamId, seen)
    return seen <= held.appends
  }

  /** Whether the producer of an append that is held is known by a later state of it. */
  knowsProducer(streamId: string, firstOffset: number): boolean {
    return firstOffset < (this.#streams.get(streamId)?.producersKnownBelow ?? 0)
  }
}
