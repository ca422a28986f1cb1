import {
  claimedRecordBytes,
  decodeRecord,
  RECORD_END,
  RECORD_HEADER_BYTES,
  RECORD_MAGIC,
  type RecordView,
  viewRecord,
} from '../../shared/format/record.ts'
import { KIB, MIB, PAGE_BYTES } from '../../shared/limits.ts'
import { type Disk, DiskError } from '../disk/disk.ts'

/** Bytes read at a time: the window doubles with each read, so that small reads stay small. */
const FIRST_WINDOW_BYTES = 64 * KIB
const WINDOW_BYTES_MAX = MIB
const EMPTY = Buffer.alloc(0)
const MAGIC = Buffer.alloc(4)
MAGIC.writeUInt32LE(RECORD_MAGIC)

export type FoundRecord = { readonly bytes: Buffer; readonly record: RecordView }

/**
 * Reads the bytes of a segment. Pages that the disk cannot read, and bytes missing at the end of
 * the file, read as zeros. Zeros hold no record, so the records around them stay readable.
 */
export class SegmentFile {
  readonly #disk: Disk
  readonly #file: number | undefined
  readonly #bytes: number
  /** Bytes that the file has, at most the segment's. */
  readonly available: number
  /** Why bytes could not be read. */
  fault: string | undefined
  #window: Buffer = EMPTY
  #windowAt = 0
  #windowBytes = FIRST_WINDOW_BYTES
  #hasBadSector = false

  /**
   * @param bytes length of the segment; the file may have more, which do not count
   * @throws DiskError where the process has no file descriptor left
   */
  constructor(disk: Disk, path: string, bytes: number) {
    this.#disk = disk
    this.#bytes = bytes
    try {
      this.#file = disk.open(path, 'read')
      this.available = Math.min(bytes, disk.size(this.#file))
      if (this.available < bytes) this.fault = 'the segment is cut'
    } catch (error) {
      if (!(error instanceof DiskError) || error.isForSpace) throw error
      this.available = 0
      const isMissing = error.code === 'ENOENT' || error.code === 'ENOTDIR'
      this.fault = isMissing ? 'its segment is missing' : 'its segment cannot be opened'
    }
  }

  close(): void {
    if (this.#file !== undefined) this.#disk.close(this.#file)
  }

  /** Reads `[position, position + length)`, zeros where nothing can be read. */
  read(position: number, length: number): Buffer {
    const target = Buffer.allocUnsafe(length)
    const wanted = Math.max(0, Math.min(length, this.available - position))
    let done = 0
    while (done < wanted) {
      const page = PAGE_BYTES - ((position + done) % PAGE_BYTES)
      // After a failure, read page by page to get the sound pages around a bad sector.
      const end = this.#hasBadSector ? Math.min(wanted, done + page) : wanted
      const count = this.#tryRead(target.subarray(done, end), position + done)
      if (count === 0) break
      if (count === undefined) {
        if (!this.#hasBadSector) {
          this.#hasBadSector = true
          continue
        }
        target.fill(0, done, end)
        done = end
      } else done += count
    }
    return target.fill(0, done)
  }

  #tryRead(target: Buffer, position: number): number | undefined {
    try {
      return this.#disk.read(this.#file as number, target, position)
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      this.fault = 'the disk cannot read it'
      return undefined
    }
  }

  /** Returns the checked record at `position` and the buffer that holds it, if there is one. */
  recordAt(position: number): FoundRecord | undefined {
    const bytes = this.#windowWith(position)
    const record = decodeRecord(bytes, position - this.#windowAt)
    return record && { bytes, record }
  }

  /** Returns a buffer and the index of `position` in it. A sound record there is in it whole. */
  windowAt(position: number): { readonly bytes: Buffer; readonly at: number } {
    return { bytes: this.#windowWith(position), at: position - this.#windowAt }
  }

  #windowWith(position: number): Buffer {
    const at = position - this.#windowAt
    const isInside = at >= 0 && at < this.#window.length
    const size = isInside ? claimedRecordBytes(this.#window, at) : 0
    if (size > 0 && at + size <= this.#window.length) return this.#window
    this.#windowAt = position
    this.#window = this.#load(position)
    this.#windowBytes = Math.min(2 * this.#windowBytes, WINDOW_BYTES_MAX)
    return this.#window
  }

  #load(position: number): Buffer {
    const window = this.read(position, this.#clip(position, this.#windowBytes))
    const size = claimedRecordBytes(window, 0)
    if (size <= window.length || position + size > this.available) return window
    // Do not allocate by a damaged length: look for the end marker where it says before.
    const marker = this.read(position + size - 4, 4).readUInt32LE()
    return marker === RECORD_END ? this.read(position, size) : window
  }

  /** Returns the unchecked header at `position`; undefined if it is not a record header. */
  claimedAt(position: number): RecordView | undefined {
    if (position < 0 || position + RECORD_HEADER_BYTES > this.available) return undefined
    const at = position - this.#windowAt
    const isLoaded = at >= 0 && at + RECORD_HEADER_BYTES <= this.#window.length
    return isLoaded
      ? viewRecord(this.#window, at)
      : viewRecord(this.read(position, RECORD_HEADER_BYTES), 0)
  }

  /** Loads a large window from `position` on, to read many headers in a row. */
  preload(position: number): void {
    const at = position - this.#windowAt
    if (at >= 0 && at + RECORD_HEADER_BYTES <= this.#window.length) return
    this.#windowAt = position
    this.#window = this.read(position, this.#clip(position, WINDOW_BYTES_MAX))
  }

  /** Returns the checked record at `position`, without keeping its bytes. */
  viewAt(position: number): RecordView | undefined {
    const claimed = this.claimedAt(position)
    const size = claimed === undefined ? 0 : claimed.end - claimed.at
    if (size === 0 || position + size > this.available) return undefined
    if (this.read(position + size - 4, 4).readUInt32LE() !== RECORD_END) return undefined
    return decodeRecord(this.read(position, size), 0)
  }

  /**
   * Searches byte by byte, from `position` on, for a checked record with an offset in
   * `[low, high]`. Used when neither the index nor the record before gives its position.
   */
  search(
    position: number,
    low: number,
    high: number,
  ): { readonly position: number; readonly record: RecordView } | undefined {
    for (let from = position; from < this.available; ) {
      const window = this.read(from, this.#clip(from, WINDOW_BYTES_MAX))
      for (let at = window.indexOf(MAGIC); at >= 0; at = window.indexOf(MAGIC, at + 1)) {
        const record = this.viewAt(from + at)
        if (record !== undefined && record.offset >= low && record.offset <= high) {
          return { position: from + at, record }
        }
      }
      // The marker may lie across the border of two windows.
      from += window.length > MAGIC.length ? window.length - MAGIC.length + 1 : window.length
    }
    return undefined
  }

  #clip(position: number, length: number): number {
    return Math.max(0, Math.min(length, this.#bytes - position))
  }
}
