import { StoreError } from '../../shared/errors.ts'
import { hexToLatin1, latin1ToHex } from '../../shared/format/bytes.ts'
import { chainHashOf, GENESIS_HASH } from '../../shared/format/chain.ts'
import { decodeManifest, type SegmentRange } from '../../shared/format/manifest.ts'
import { manifestPath, segmentPath, streamPath } from '../../shared/format/paths.ts'
import {
  claimedRecordBytes,
  decodeRecord,
  RECORD_END,
  RECORD_HEADER_BYTES,
} from '../../shared/format/record.ts'
import type { LocatedRecord } from '../../shared/format/read-page.ts'
import { MIB } from '../../shared/limits.ts'
import type { ReadPlan } from '../../shared/protocol/shard.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { readFully, readWhole } from '../disk/files.ts'
import { lookUp, scanPositions } from './offset-index.ts'

// Reads the stored part of a stream, below the extents that its shard vouches for. Needs only the
// plan and the files; runs on a reader thread.

type SegmentExtent = {
  readonly number: number
  readonly firstOffset: number
  readonly nextOffset: number
  readonly bytes: number
}

/** Bytes read at a time. */
const WINDOW_BYTES = MIB

export class SegmentReader {
  readonly #disk: Disk
  readonly #plan: ReadPlan
  readonly #directory: string
  #sealed: readonly SegmentRange[] | undefined
  /** A segment whose index did not have what was asked. */
  staleIndex: { readonly segment: number; readonly bytes: number } | undefined

  constructor(disk: Disk, plan: ReadPlan) {
    this.#disk = disk
    this.#plan = plan
    this.#directory = streamPath(plan.stream)
  }

  /**
   * The stored records of `[low, high)`, in order, each checked against its checksum.
   * @throws StoreError corrupt_record with the range that cannot be read
   */
  *records(low: number, high: number): Generator<LocatedRecord> {
    for (let offset = low; offset < high; ) {
      const segment = this.#segmentOf(offset)
      const end = Math.min(high, segment.nextOffset)
      yield* this.#scan(segment, offset, end)
      offset = end
    }
  }

  /** Chain hash before record `offset`, from the record before it. */
  previousHash(offset: number): string {
    if (offset === this.#plan.firstOffset) return GENESIS_HASH
    if (offset === this.#plan.stored.nextOffset) return this.#plan.stored.chainHead
    const segment = this.#segmentOf(offset)
    if (offset === segment.firstOffset) {
      return hexToLatin1(this.#sealedBefore(segment.number)?.chainHead ?? '')
    }
    for (const { bytes, record } of this.records(offset - 1, offset)) {
      return chainHashOf(this.#plan.streamId, bytes, record)
    }
    throw this.#corrupt(offset - 1, offset, 'no record')
  }

  /** Offset of the first stored record at or after `since`, µs; the stored end when none is. */
  findTime(since: number): number {
    let low = this.#plan.firstOffset
    let high = this.#plan.stored.nextOffset
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (this.#timestampOf(middle) < since) low = middle + 1
      else high = middle
    }
    return low
  }

  #timestampOf(offset: number): number {
    for (const { record } of this.records(offset, offset + 1)) return record.timestamp
    throw this.#corrupt(offset, offset + 1, 'no record')
  }

  /** The lowest offset from which the records up to `high` take at most about `bytes`. */
  lowestWithin(low: number, high: number, bytes: number): number {
    let taken = 0
    let offset = high
    while (offset > low) {
      const segment = this.#segmentOf(offset - 1)
      const end = this.#position(segment, offset)
      const first = Math.max(low, segment.firstOffset)
      if (taken + end - this.#position(segment, first) <= bytes) {
        taken += end - this.#position(segment, first)
        offset = first
        continue
      }
      return Math.min(offset - 1, this.#lowestIn(segment, first, offset, end - (bytes - taken)))
    }
    return offset
  }

  /** First offset of `[low, high)` whose record starts at or above `position`. */
  #lowestIn(segment: SegmentExtent, low: number, high: number, position: number): number {
    let from = low
    let to = high
    while (from < to) {
      const middle = Math.floor((from + to) / 2)
      if (this.#position(segment, middle) < position) from = middle + 1
      else to = middle
    }
    return from
  }

  *#scan(segment: SegmentExtent, low: number, high: number): Generator<LocatedRecord> {
    const file = this.#open(segment, low)
    try {
      let position = this.#position(segment, low)
      let bytes: Buffer = Buffer.alloc(0)
      let at = 0
      for (let offset = low; offset < high; offset += 1) {
        const size = claimedRecordBytes(bytes, at)
        if (size === 0 || at + size > bytes.length) {
          position += at
          bytes = this.#window(file, position, segment.bytes)
          at = 0
        }
        const record = decodeRecord(bytes, at)
        if (record?.offset !== offset) throw this.#damage(segment, offset)
        yield { bytes, record }
        at = record.end
      }
    } finally {
      this.#disk.close(file)
    }
  }

  /** Bytes from `position` on: a window, or all of the record there where that is larger. */
  #window(file: number, position: number, end: number): Buffer {
    const length = Math.min(WINDOW_BYTES, end - position)
    const window = readFully(this.#disk, file, position, Math.max(0, length))
    const size = window.length < RECORD_HEADER_BYTES ? 0 : claimedRecordBytes(window, 0)
    if (size <= window.length || position + size > end) return window
    // A damaged length must not cost its memory: a record of that size ends with its marker.
    const marker = readFully(this.#disk, file, position + size - 4, 4)
    return marker.readUInt32LE() === RECORD_END
      ? readFully(this.#disk, file, position, size)
      : window
  }

  #open(segment: SegmentExtent, low: number): number {
    try {
      return this.#disk.open(segmentPath(this.#directory, segment.number), 'read')
    } catch (error) {
      if (!(error instanceof DiskError) || error.code !== 'ENOENT') throw error
      throw this.#corrupt(
        Math.max(low, segment.firstOffset),
        segment.nextOffset,
        'a segment is missing',
      )
    }
  }

  /** Byte position of a record, or of the segment's end for its next offset. */
  #position(segment: SegmentExtent, offset: number): number {
    if (offset === segment.firstOffset) return 0
    if (offset === segment.nextOffset) return segment.bytes
    const ordinal = offset - segment.firstOffset
    const indexed = lookUp(this.#disk, this.#directory, segment.number, ordinal)
    if (indexed !== undefined && indexed > 0 && indexed < segment.bytes) return indexed
    this.staleIndex = { segment: segment.number, bytes: segment.bytes }
    const positions = scanPositions(this.#disk, this.#directory, segment.number, segment.bytes)
    const found = positions[ordinal]
    if (found === undefined) {
      // The walk over the headers went astray at the record before it stopped, or at the first.
      throw this.#damage(segment, segment.firstOffset + Math.max(0, positions.length - 1))
    }
    return found
  }

  #segmentOf(offset: number): SegmentExtent {
    const { stored } = this.#plan
    if (offset >= stored.segmentFirstOffset) {
      return {
        number: stored.segment,
        firstOffset: stored.segmentFirstOffset,
        nextOffset: stored.nextOffset,
        bytes: stored.segmentBytes,
      }
    }
    const sealed = this.#sealedSegments(offset)
    const found = sealed.find(range => offset >= range.firstOffset && offset < range.nextOffset)
    if (found === undefined) {
      throw this.#corrupt(offset, stored.segmentFirstOffset, 'the manifest names no segment for it')
    }
    return found
  }

  #sealedBefore(number: number): SegmentRange | undefined {
    return this.#sealedSegments(0).find(segment => segment.number === number - 1)
  }

  #sealedSegments(offset: number): readonly SegmentRange[] {
    if (this.#sealed !== undefined) return this.#sealed
    const path = manifestPath(this.#directory)
    const manifest = this.#disk.exists(path)
      ? decodeManifest(readWhole(this.#disk, path))
      : undefined
    if (manifest?.streamId !== latin1ToHex(this.#plan.streamId)) {
      throw this.#corrupt(offset, this.#plan.stored.segmentFirstOffset, 'the manifest is damaged')
    }
    this.#sealed = manifest.sealed
    return this.#sealed
  }

  /**
   * Names the damage that starts with record `offset`: to the next whole record, or the segment's
   * end.
   */
  #damage(segment: SegmentExtent, offset: number): StoreError {
    const next = this.#nextReadable(segment, offset + 1)
    return this.#corrupt(offset, next, 'a record does not check')
  }

  /** The first offset from `offset` on that the index finds whole. */
  #nextReadable(segment: SegmentExtent, offset: number): number {
    const file = this.#disk.open(segmentPath(this.#directory, segment.number), 'read')
    try {
      for (let next = offset; next < segment.nextOffset; next += 1) {
        const ordinal = next - segment.firstOffset
        const position = lookUp(this.#disk, this.#directory, segment.number, ordinal)
        if (position === undefined) return segment.nextOffset
        const bytes = this.#window(file, position, segment.bytes)
        if (decodeRecord(bytes, 0)?.offset === next) return next
      }
    } finally {
      this.#disk.close(file)
    }
    return segment.nextOffset
  }

  #corrupt(from: number, to: number, reason: string): StoreError {
    return new StoreError(
      'corrupt_record',
      `records ${from} to ${to - 1} cannot be read: ${reason}`,
      {
        firstCorruptOffset: from,
        nextReadableOffset: to,
      },
    )
  }
}
