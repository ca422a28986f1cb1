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
import { isMissing } from '../disk/aside.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { readFully, withFile, writeFully } from '../disk/files.ts'
import type { OpenFiles } from '../disk/open-files.ts'
import { createFile } from './missing-files.ts'
import { extendIndex, lookUp, scanEntries } from './offset-index.ts'

/** Where a stream's segments end. */
export type SegmentEnd = {
  readonly segment: number
  readonly segmentFirstOffset: number
  readonly segmentBytes: number
}

/**
 * What a segment writer writes. Records of a direct append are indexed only once the journal refers
 * to them. A crash before that gives their offsets to other records, and the index would still
 * check.
 */
export type SegmentTarget = 'records and index' | 'records' | 'index'

/** Offsets of stored records that are lost, half-open. */
export type LostRange = {
  readonly firstOffset: number
  readonly nextOffset: number
  readonly reason: string
}

/** Bytes collected before they go to the file in one write. */
const WRITE_BYTES = MIB

/**
 * Appends records to a stream's segments in large writes, and rolls to the next segment after a
 * checkpoint with `isLastOfSegment`. The caller syncs files and directories.
 *
 * A missing segment is created again, and a short one extended, with a hole of zeros in place of
 * the lost records. Zeros do not check as records, so reads keep reporting the loss, and the stream
 * can take appends after it.
 *
 * Invariant: bytes below the end passed to the constructor are never written.
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
  /** Of the segment's last data record; undefined until this writer has appended one. */
  #lastTimestamp: number | undefined
  #followsCheckpoint: boolean
  #recordHash: string
  /** Whether the last record appended is a data record. */
  #endsWithData = false
  /** Segments that this writer sealed. */
  readonly rolled: SegmentRange[] = []
  /** Stored records that this writer found missing. */
  readonly lost: LostRange[] = []
  /** Directories to sync, because a missing segment was created in them. */
  readonly directories: string[] = []
  /** One message for each index write that failed; an index is a cache. */
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

  /** Writes the records that were collected since the last write. */
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
    // Bytes past the end come from a write-back that failed before its commit.
    if (size > this.#bytes) this.#disk.truncate(file, this.#bytes)
    if (size < this.#bytes) this.#noteLost(file, size)
    writeFully(this.#disk, file, Buffer.concat(this.#pending), this.#bytes)
  }

  /** Opens the segment for writing; creates it again if it is missing. */
  #open(): number {
    const path = segmentPath(this.#directory, this.#segment)
    const mode = this.#bytes === 0 ? 'create' : 'update'
    try {
      return this.#files.open(path, mode)
    } catch (error) {
      if (!isMissing(error)) throw error
    }
    const { file, made } = createFile(this.#disk, this.#files, this.#directory, path)
    this.directories.push(...made)
    return file
  }

  /** Notes the records that are lost, because the file is shorter than the stored bytes. */
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
          ? `segment ${this.#segment} was missing and was created again`
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
   * @param timestamp of that checkpoint
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
      // A damaged segment may not yield its last timestamp. The checkpoint's is an upper bound.
      lastTimestamp: this.#lastTimestamp ?? this.#storedTimestamp() ?? timestamp,
    })
    this.#followsCheckpoint = false
    this.#lastTimestamp = undefined
    this.#segment += 1
    this.#firstOffset = this.#nextOffset
    this.#bytes = 0
  }

  /** Reads the time of the last record that an earlier write-back stored, if it is readable. */
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

/** Whether a read, or a write of an index, failed: damage that the writer works around. */
function isUnreadable(error: unknown): error is DiskError {
  return error instanceof DiskError && !error.isSync
}
