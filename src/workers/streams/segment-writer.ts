import { assert } from '../../shared/assert.ts'
import { latin1ToHex } from '../../shared/format/bytes.ts'
import { chainHashOf } from '../../shared/format/chain.ts'
import { decodeCheckpointBody } from '../../shared/format/checkpoint.ts'
import { entryPosition, indexEntry } from '../../shared/format/index-page.ts'
import type { SegmentRange } from '../../shared/format/manifest.ts'
import { segmentPath } from '../../shared/format/paths.ts'
import {
  claimedRecordBytes,
  RECORD_HEADER_BYTES,
  RecordKind,
  type RecordView,
  viewRecord,
} from '../../shared/format/record.ts'
import { MIB } from '../../shared/limits.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { readFully, withFile, writeFully } from '../disk/files.ts'
import type { OpenFiles } from '../disk/open-files.ts'
import { isMissing, makeStreamDirectory, setAside } from './missing-files.ts'
import { extendIndex, lookUp, scanEntries } from './offset-index.ts'

/** Where a stream's segments end. */
export type SegmentEnd = {
  readonly segment: number
  readonly segmentFirstOffset: number
  readonly segmentBytes: number
}

/**
 * What is written. Records that may yet be lost are not indexed before the journal refers to them:
 * others may take their offsets, and an index that checks is believed.
 */
export type SegmentTarget = 'records and index' | 'records' | 'index'

/** Stored records that are not there any more, half-open. */
export type LostRange = {
  readonly firstOffset: number
  readonly nextOffset: number
  readonly reason: string
}

/** Bytes collected before they go to the file in one write. */
const WRITE_BYTES = MIB

/**
 * Appends records to a stream's segments, in large writes and without syncing, and rolls to the
 * next segment behind the checkpoint that says so. Whoever calls it syncs files and directories.
 *
 * A segment that is missing or too short is made again, with a hole of zeros for what is lost: its
 * records do not check, so the damage stays named, and the stream goes on behind it.
 *
 * Invariant: bytes below the end that it was given are never touched.
 */
export class SegmentWriter {
  readonly #disk: Disk
  readonly #files: OpenFiles
  readonly #directory: string
  readonly #streamId: string
  readonly #target: SegmentTarget
  #segment: number
  #firstOffset: number
  #bytes: number
  #pending: Buffer[] = []
  #pendingBytes = 0
  #entries: number[] = []
  #nextOffset: number
  /** Of the segment's last data record; undefined while that lies below where it was given. */
  #lastTimestamp: number | undefined
  #followsCheckpoint: boolean
  #recordHash: string
  /** Whether the last record appended is a data record. */
  #endsWithData = false
  /** Segments that were sealed on the way. */
  readonly rolled: SegmentRange[] = []
  /** Stored records that were found missing on the way. */
  readonly lost: LostRange[] = []
  /** Directories whose names changed, in order not to lose what is made again. */
  readonly directories: string[] = []
  /** What could not be written of an index, which is a cache. */
  readonly notes: string[] = []

  constructor(
    disk: Disk,
    files: OpenFiles,
    directory: string,
    stream: {
      readonly id: string
      readonly nextOffset: number
      /** Hash of the last data record there. */
      readonly recordHash: string
      /** Whether the last record there is a checkpoint. */
      readonly endsWithCheckpoint: boolean
    },
    end: SegmentEnd,
    target: SegmentTarget = 'records and index',
  ) {
    this.#target = target
    this.#disk = disk
    this.#files = files
    this.#directory = directory
    this.#streamId = stream.id
    this.#followsCheckpoint = stream.endsWithCheckpoint
    this.#nextOffset = stream.nextOffset
    this.#recordHash = stream.recordHash
    this.#segment = end.segment
    this.#firstOffset = end.segmentFirstOffset
    this.#bytes = end.segmentBytes
  }

  /** Offset after the last record appended. */
  get nextOffset(): number {
    return this.#nextOffset
  }

  get end(): SegmentEnd {
    return {
      segment: this.#segment,
      segmentFirstOffset: this.#firstOffset,
      segmentBytes: this.#bytes + this.#pendingBytes,
    }
  }

  /**
   * Returns the hash of the last data record.
   * @param chainHead chain hash of the last record of either kind
   */
  recordHash(chainHead: string): string {
    return this.#endsWithData ? chainHead : this.#recordHash
  }

  /** Appends records that lie back to back in `records`, in order. */
  append(records: Buffer): void {
    let from = 0
    for (let at = 0; at < records.length; ) {
      const record = viewRecord(records, at)
      assert(record?.offset === this.#nextOffset, `record ${this.#nextOffset} comes next`)
      const position = this.#bytes + this.#pendingBytes + at - from
      at = record.end
      if (record.kind === RecordKind.Data) {
        this.#note(record, position)
        continue
      }
      this.#followsCheckpoint = true
      if (this.#endsWithData) this.#recordHash = record.previousHash
      this.#endsWithData = false
      if (decodeCheckpointBody(records, record)?.isLastOfSegment !== true) continue
      this.#take(records.subarray(from, at))
      from = at
      this.#roll(chainHashOf(this.#streamId, records, record), record.timestamp)
    }
    this.#take(records.subarray(from))
  }

  /** Writes out what is still collected. */
  flush(): void {
    if (this.#pendingBytes === 0) return
    if (this.#target !== 'index') this.#writeRecords()
    if (this.#target !== 'records') this.#writeIndex()
    this.#bytes += this.#pendingBytes
    this.#pending = []
    this.#pendingBytes = 0
    this.#entries = []
  }

  #writeRecords(): void {
    const file = this.#open()
    const size = this.#disk.size(file)
    // Bytes past the end are an earlier try of a checkpoint that did not come to its commit.
    if (size > this.#bytes) this.#disk.truncate(file, this.#bytes)
    if (size < this.#bytes) this.#noteLost(file, size)
    writeFully(this.#disk, file, Buffer.concat(this.#pending), this.#bytes)
  }

  /** Opens the segment to write; makes it again where it is missing. */
  #open(): number {
    const path = segmentPath(this.#directory, this.#segment)
    const mode = this.#bytes === 0 ? 'create' : 'update'
    try {
      return this.#files.open(path, mode)
    } catch (error) {
      if (!isMissing(error)) throw error
    }
    this.directories.push(...makeStreamDirectory(this.#disk, this.#directory))
    setAside(this.#disk, path)
    return this.#files.open(path, 'create')
  }

  /** Notes that of the bytes that count only the first `size` are there. */
  #noteLost(file: number, size: number): void {
    const entries = this.#scan(size)
    const last = entryPosition(entries.at(-1) ?? 0)
    const header = readFully(this.#disk, file, last, RECORD_HEADER_BYTES)
    const isWhole = last + claimedRecordBytes(header, 0) <= size
    this.lost.push({
      firstOffset: this.#firstOffset + Math.max(0, isWhole ? entries.length : entries.length - 1),
      nextOffset: this.#nextOffset - this.#entries.length,
      reason:
        size === 0
          ? `segment ${this.#segment} was missing, and was made again`
          : `segment ${this.#segment} was cut short after ${size} bytes`,
    })
  }

  #scan(bytes: number): number[] {
    try {
      return scanEntries(this.#disk, this.#directory, this.#segment, bytes)
    } catch (error) {
      if (isUnreadable(error)) return []
      throw error
    }
  }

  #writeIndex(): void {
    const ordinal = this.#nextOffset - this.#entries.length - this.#firstOffset
    const directory = this.#directory
    const first = this.#firstOffset
    try {
      extendIndex(this.#disk, directory, this.#segment, ordinal, this.#entries, first)
    } catch (error) {
      if (!isUnreadable(error)) throw error
      this.notes.push(error.message)
    }
  }

  #take(records: Buffer): void {
    if (records.length === 0) return
    this.#pending.push(records)
    this.#pendingBytes += records.length
    if (this.#pendingBytes >= WRITE_BYTES) this.flush()
  }

  #note({ timestamp }: RecordView, position: number): void {
    this.#entries.push(indexEntry(position, this.#followsCheckpoint))
    this.#followsCheckpoint = false
    this.#endsWithData = true
    this.#lastTimestamp = timestamp
    this.#nextOffset += 1
  }

  /**
   * @param chainHead chain hash of the checkpoint that ends the segment
   * @param timestamp of that
   */
  #roll(chainHead: string, timestamp: number): void {
    this.flush()
    assert(this.#nextOffset > this.#firstOffset, 'a sealed segment has a record')
    this.rolled.push({
      number: this.#segment,
      firstOffset: this.#firstOffset,
      nextOffset: this.#nextOffset,
      bytes: this.#bytes,
      chainHead: latin1ToHex(chainHead),
      recordHash: latin1ToHex(this.#recordHash),
      // Of a damaged segment not even that can be told; then it ended no later than this.
      lastTimestamp: this.#lastTimestamp ?? this.#storedTimestamp() ?? timestamp,
    })
    this.#followsCheckpoint = false
    this.#lastTimestamp = undefined
    this.#segment += 1
    this.#firstOffset = this.#nextOffset
    this.#bytes = 0
  }

  /** Of the last data record that an earlier journal checkpoint stored; undefined: unreadable. */
  #storedTimestamp(): number | undefined {
    try {
      return this.#readTimestamp()
    } catch (error) {
      if (isUnreadable(error)) return undefined
      throw error
    }
  }

  #readTimestamp(): number | undefined {
    const disk = this.#disk
    const last = this.#nextOffset - 1 - this.#firstOffset
    const position =
      lookUp(disk, this.#directory, this.#segment, last) ??
      this.#scan(this.#bytes).map(entryPosition)[last]
    if (position === undefined) return undefined
    const path = segmentPath(this.#directory, this.#segment)
    const header = withFile(disk, path, 'read', file =>
      readFully(disk, file, position, RECORD_HEADER_BYTES),
    )
    const record = viewRecord(header, 0)
    return record?.offset === this.#nextOffset - 1 ? record.timestamp : undefined
  }
}

/** Whether the disk did not give or take something that can do without. */
function isUnreadable(error: unknown): error is DiskError {
  return error instanceof DiskError && !error.isSync
}
