import { StoreError } from '../../shared/errors.ts'
import { hexToLatin1, latin1ToHex } from '../../shared/format/bytes.ts'
import { chainHashOf } from '../../shared/format/chain.ts'
import { CHECKPOINT_RECORD_BYTES } from '../../shared/format/checkpoint.ts'
import { expandRecord } from '../../shared/format/expand.ts'
import { entryPosition, followsCheckpoint } from '../../shared/format/index-page.ts'
import { decodeManifest, type SegmentRange } from '../../shared/format/manifest.ts'
import { manifestPath, segmentPath, streamPath } from '../../shared/format/paths.ts'
import {
  claimedRecordBytes,
  decodeRecord,
  RECORD_END,
  RECORD_HEADER_BYTES,
  RecordKind,
} from '../../shared/format/record.ts'
import type { LocatedRecord } from '../../shared/format/read-page.ts'
import { KIB, MIB } from '../../shared/limits.ts'
import type { ReadPlan } from '../../shared/protocol/shard.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { readFully, readWhole } from '../disk/files.ts'
import { entriesFrom, findCheckpoint, lastCheckpoint, lookUp, scanEntries } from './offset-index.ts'
import { type CheckpointPlace, extentOf, type SegmentExtent } from './segment-extent.ts'

// Reads the stored part of a stream, below the extents that its shard vouches for. Needs only the
// plan and the files; runs on a reader thread.

/** Bytes read at a time: few for a small read, more and more for a scan. */
const FIRST_WINDOW_BYTES = 64 * KIB
const WINDOW_BYTES_MAX = MIB

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
    this.#directory = streamPath(plan.stream, plan.streamId)
  }

  /**
   * The stored records of `[low, high)`, in order, each checked against its checksum, and the
   * checkpoints among them; at the stored end also those behind the last one.
   * @throws StoreError corrupt_record with the range that cannot be read
   */
  *records(low: number, high: number): Generator<LocatedRecord> {
    for (let offset = low; offset < high; ) {
      const segment = this.#segmentOf(offset)
      const end = Math.min(high, segment.nextOffset)
      yield* this.#scan(segment, offset, end)
      offset = end
    }
    const { nextOffset, segmentFirstOffset, segmentBytes } = this.#plan.stored
    const isAlone = high === nextOffset && high === segmentFirstOffset && segmentBytes > 0
    if (isAlone) yield* this.#scan(this.#segmentOf(high), high, high, { to: segmentBytes })
  }

  /** The stored data records of `[low, high)` alone: a damaged checkpoint is passed over. */
  *dataRecords(low: number, high: number): Generator<LocatedRecord> {
    for (let offset = low; offset < high; ) {
      const segment = this.#segmentOf(offset)
      const end = Math.min(high, segment.nextOffset)
      for (const located of this.#scan(segment, offset, end, { dataOnly: true })) {
        if (located.record.kind === RecordKind.Data) yield located
      }
      offset = end
    }
  }

  /** Chain hash before record `offset`, from what lies before it. */
  previousHash(offset: number): string {
    const { trimPoint, stored, streamId } = this.#plan
    if (offset === trimPoint.offset) return trimPoint.hash
    if (offset === stored.nextOffset) return stored.chainHead
    const segment = this.#segmentOf(offset)
    if (offset === segment.firstOffset) {
      return hexToLatin1(this.#sealedBefore(segment.number)?.chainHead ?? '')
    }
    let hash = ''
    // The last of them: a checkpoint may lie between the record before and this one.
    const to = this.#position(segment, offset)
    for (const located of this.#scan(segment, offset - 1, offset, { to })) {
      const { bytes, record } = expandRecord(located)
      hash = chainHashOf(streamId, bytes, record)
    }
    return hash
  }

  /** The nearest stored checkpoint at or below the offset, which is at most the stored end. */
  checkpointAtOrBelow(offset: number): CheckpointPlace | undefined {
    const { trimPoint } = this.#plan
    if (offset <= trimPoint.offset) return undefined
    let before = offset
    let segment = this.#segmentOf(offset)
    let found = this.#checkpointIn(segment, before)
    while (found === undefined && segment.firstOffset > trimPoint.offset) {
      before = segment.firstOffset
      segment = this.#segmentOf(before - 1)
      found = this.#checkpointIn(segment, before)
    }
    return found
  }

  /** The records from a checkpoint on, itself first, up to `high`. */
  *recordsFrom({ segment, position, offset }: CheckpointPlace, high: number) {
    const end = Math.min(high, segment.nextOffset)
    yield* this.#scan(segment, offset, end, { from: position })
    if (segment.number < this.#plan.stored.segment) yield* this.records(end, high)
  }

  /** The stored checkpoints at or above the offset, ascending. */
  *checkpointsFrom(offset: number): Generator<LocatedRecord> {
    const { trimPoint, stored } = this.#plan
    if (offset <= stored.segmentFirstOffset && stored.segmentFirstOffset > trimPoint.offset) {
      for (const range of this.#sealedSegments(trimPoint.offset)) {
        const isWanted = range.nextOffset >= offset && range.nextOffset > trimPoint.offset
        const isStored = range.number < stored.segment
        if (isWanted && isStored) yield* this.#checkpointsOf(extentOf(range), offset)
      }
    }
    yield* this.#checkpointsOf(this.#segmentOf(stored.nextOffset), offset)
  }

  *#checkpointsOf(segment: SegmentExtent, low: number): Generator<LocatedRecord> {
    const { number, firstOffset, nextOffset } = segment
    if (segment.bytes === 0 || low > nextOffset) return
    const first = Math.max(0, low - firstOffset)
    for (const [ordinal, entry] of entriesFrom(this.#disk, this.#directory, number, first)) {
      const offset = firstOffset + ordinal
      if (offset >= nextOffset) break
      if (followsCheckpoint(entry)) yield* this.#between(segment, offset, entryPosition(entry))
    }
    yield* this.#between(segment, nextOffset, segment.bytes)
  }

  /** The checkpoints between the record before `offset` and position `to`, where it begins. */
  *#between(segment: SegmentExtent, offset: number, to: number): Generator<LocatedRecord> {
    const low = Math.max(segment.firstOffset, offset - 1)
    for (const located of this.#scan(segment, low, offset, { to })) {
      if (located.record.kind === RecordKind.Checkpoint && located.record.offset === offset) {
        yield located
      }
    }
  }

  /** A checkpoint's record, checked against its checksum only. */
  checkpointAt(place: CheckpointPlace): LocatedRecord {
    const { segment, position, offset } = place
    const bounds = { from: position, to: position + CHECKPOINT_RECORD_BYTES }
    for (const located of this.#scan(segment, offset, offset, bounds)) return located
    throw this.#damage(segment, offset)
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
    for (const { record } of this.dataRecords(offset, offset + 1)) return record.timestamp
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

  /**
   * Of one segment, by default from record `low` to before record `high`, or to the segment's end.
   * @param bounds byte positions to begin and end at instead; or whether checkpoints do not count
   */
  *#scan(
    segment: SegmentExtent,
    low: number,
    high: number,
    bounds: { readonly from?: number; readonly to?: number; readonly dataOnly?: true } = {},
  ): Generator<LocatedRecord> {
    const { dataOnly } = bounds
    const isToEnd = high === segment.nextOffset && !dataOnly
    const to = bounds.to ?? (isToEnd ? segment.bytes : undefined)
    const file = this.#open(segment, low)
    try {
      let position = bounds.from ?? this.#position(segment, low)
      let bytes: Buffer = Buffer.alloc(0)
      let windowBytes = FIRST_WINDOW_BYTES
      let at = 0
      let offset = low
      while (to === undefined ? offset < high : position + at < to) {
        const size = claimedRecordBytes(bytes, at)
        if (size === 0 || at + size > bytes.length) {
          position += at
          bytes = this.#window(file, position, segment.bytes, windowBytes)
          windowBytes = Math.min(2 * windowBytes, WINDOW_BYTES_MAX)
          at = 0
        }
        const record = decodeRecord(bytes, at)
        const isData = record?.kind === RecordKind.Data
        if (record?.offset !== offset || (isData && offset === high)) {
          const isBehind = dataOnly && this.#isBehindCheckpoint(segment, offset, position + at)
          if (!isBehind) throw this.#damage(segment, offset)
          at += CHECKPOINT_RECORD_BYTES
          continue
        }
        yield { bytes, record }
        at = record.end
        if (isData) offset += 1
      }
      if (offset < high) throw this.#damage(segment, offset)
    } finally {
      this.#disk.close(file)
    }
  }

  #checkpointIn(segment: SegmentExtent, before: number): CheckpointPlace | undefined {
    const { number, firstOffset, nextOffset, bytes } = segment
    if (before === nextOffset && segment.endsWithCheckpoint) {
      return { segment, position: bytes - CHECKPOINT_RECORD_BYTES, offset: nextOffset }
    }
    const ordinal = Math.min(before, nextOffset - 1) - firstOffset
    if (ordinal < 0) return undefined
    let found = findCheckpoint(this.#disk, this.#directory, number, ordinal)
    if (found === 'damaged') {
      this.staleIndex = { segment: number, bytes }
      const entries = scanEntries(this.#disk, this.#directory, number, bytes)
      found = lastCheckpoint(entries.slice(0, ordinal + 1))
    }
    if (found === undefined) return undefined
    const position = found.position - CHECKPOINT_RECORD_BYTES
    return { segment, position, offset: firstOffset + found.ordinal }
  }

  /** Whether the index has record `offset` behind a checkpoint that is at `position`. */
  #isBehindCheckpoint(segment: SegmentExtent, offset: number, position: number): boolean {
    const ordinal = offset - segment.firstOffset
    const indexed = lookUp(this.#disk, this.#directory, segment.number, ordinal)
    return indexed === position + CHECKPOINT_RECORD_BYTES && indexed < segment.bytes
  }

  /** Bytes from `position` on: a window, or all of the record there where that is larger. */
  #window(file: number, position: number, end: number, bytes = FIRST_WINDOW_BYTES): Buffer {
    const length = Math.min(bytes, end - position)
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
    const entries = scanEntries(this.#disk, this.#directory, segment.number, segment.bytes)
    const found = entries[ordinal]
    if (found === undefined) {
      // The walk over the headers went astray at the record before it stopped, or at the first.
      throw this.#damage(segment, segment.firstOffset + Math.max(0, entries.length - 1))
    }
    return entryPosition(found)
  }

  #segmentOf(offset: number): SegmentExtent {
    const { stored } = this.#plan
    if (offset >= stored.segmentFirstOffset) {
      return {
        number: stored.segment,
        firstOffset: stored.segmentFirstOffset,
        nextOffset: stored.nextOffset,
        bytes: stored.segmentBytes,
        endsWithCheckpoint: stored.endsWithCheckpoint,
      }
    }
    const sealed = this.#sealedSegments(offset)
    const found = sealed.find(range => offset >= range.firstOffset && offset < range.nextOffset)
    if (found === undefined) {
      throw this.#corrupt(offset, stored.segmentFirstOffset, 'the manifest names no segment for it')
    }
    return extentOf(found)
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
   * end. Of a checkpoint behind the segment's records it is the record behind it, if there is one.
   */
  #damage(segment: SegmentExtent, offset: number): StoreError {
    if (offset >= segment.nextOffset) {
      const named = Math.max(0, Math.min(offset, this.#plan.nextOffset - 1))
      return this.#corrupt(named, named + 1, 'a checkpoint does not check')
    }
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
