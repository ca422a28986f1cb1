import { decodeFrame, type Frame, FrameFlag } from '../../shared/format/frame.ts'
import { decodeOperation, type Operation, OperationType } from '../../shared/format/operation.ts'
import { viewRecord } from '../../shared/format/record.ts'
import type { Block } from './journal-walk.ts'

export type Create = Extract<Operation, { type: typeof OperationType.Create }>

/** What a journal says of one stream's records. */
export type JournaledStream = {
  /**
   * Chain hash before or after an append → how many of the journal's appends, counted from its
   * first one, a stream holds whose chain ends with that hash.
   */
  readonly chain: Map<string, number>
  /** Half-open offset range of each append, in order. */
  readonly starts: number[]
  readonly ends: number[]
}

/** Collects the appends, creates and deletes of a journal, to rebuild streams from segments. */
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

  /** Returns the operation that creates a stream; undefined if the journal does not have it. */
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

/** Counts the journal's appends that end at or below `nextOffset`. */
export function appendsBelow(journaled: JournaledStream | undefined, nextOffset: number): number {
  return journaled?.ends.filter(end => end <= nextOffset).length ?? 0
}

/** Returns whether an append of the journal has records in `[from, to)`. */
export function overlaps({ starts, ends }: JournaledStream, from: number, to: number): boolean {
  return starts.some((start, at) => start < to && (ends[at] as number) > from)
}

/** What a rebuilt stream already holds of the journal. */
export type HeldAppends = {
  /** Number of the journal's appends, counted from its first one. */
  readonly appends: number
  /** The stream's producer states include every append below this offset. */
  readonly producersKnownBelow: number
}

/**
 * Tells a replay which operations of the journal the rebuilt streams already hold. Call `has` once
 * for each append, in the order of the journal, because it counts them.
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

  /** Returns whether the stream holds its next append, without counting it as `has` does. */
  hasNext(streamId: string): boolean {
    return (this.#seen.get(streamId) ?? 0) < (this.#streams.get(streamId)?.appends ?? 0)
  }

  /** Returns whether the stream's producer states already include an append that it holds. */
  knowsProducer(streamId: string, firstOffset: number): boolean {
    return firstOffset < (this.#streams.get(streamId)?.producersKnownBelow ?? 0)
  }
}
