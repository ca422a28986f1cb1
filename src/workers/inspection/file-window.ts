import {
  claimedRecordBytes,
  decodeRecord,
  RECORD_HEADER_BYTES,
  recordBytes,
  type RecordView,
  viewRecord,
} from '../../shared/format/record.ts'
import { KIB, RECORD_BYTES_BOUND } from '../../shared/limits.ts'
import type { Disk } from '../disk/disk.ts'
import { readFully, withFile } from '../disk/files.ts'

// Reads a file of any size through one window, so that memory does not depend on what is stored,
// nor on what a damaged length claims.

const WINDOW_BYTES = 256 * KIB
const RECORD_SIZE_MAX = recordBytes(0xffff, RECORD_BYTES_BOUND)
const RECORD_MARKER = Buffer.from('VRCD')

/** A checked record; its positions are in `bytes`, which starts at the record. */
export type FoundRecord = { readonly bytes: Buffer; readonly record: RecordView }

export class FileWindow {
  readonly #disk: Disk
  readonly #file: number
  readonly size: number
  #window: Buffer = Buffer.alloc(0)
  #windowAt = 0

  constructor(disk: Disk, file: number) {
    this.#disk = disk
    this.#file = file
    this.size = disk.size(file)
  }

  /** Bytes from `position` on, fewer at the end of the file; good until the next call. */
  read(position: number, length: number): Buffer {
    const from = position - this.#windowAt
    if (from < 0 || from + length > this.#window.length) {
      const rest = Math.max(0, this.size - position)
      const wanted = Math.min(rest, Math.max(length, WINDOW_BYTES))
      this.#window = readFully(this.#disk, this.#file, position, wanted)
      this.#windowAt = position
      return this.#window.subarray(0, length)
    }
    return this.#window.subarray(from, from + length)
  }

  /** The whole, checked record at `position`, which must end by `end`. */
  record(position: number, end: number): FoundRecord | undefined {
    const header = this.read(position, Math.min(RECORD_HEADER_BYTES, Math.max(0, end - position)))
    const size = claimedRecordBytes(header, 0)
    // The fields come first: what merely looks like a record in some body costs no large read.
    if (size === 0 || size > RECORD_SIZE_MAX || position + size > end) return undefined
    if (viewRecord(header, 0) === undefined) return undefined
    const bytes = this.read(position, size)
    const record = decodeRecord(bytes, 0)
    return record && { bytes, record }
  }

  /** Where the next record marker starts, at or after `position`; `end` when there is none. */
  nextMarker(position: number, end: number): number {
    for (let at = position; at < end; ) {
      const window = this.read(at, Math.min(WINDOW_BYTES, end - at))
      const found = window.indexOf(RECORD_MARKER)
      if (found !== -1) return at + found
      if (window.length < RECORD_MARKER.length) break
      at += window.length - RECORD_MARKER.length + 1 // a marker may lie across two windows
    }
    return end
  }
}

/** Runs `use` with a window over the file. @throws DiskError */
export function withWindow<Result>(
  disk: Disk,
  path: string,
  use: (file: FileWindow) => Result,
): Result {
  return withFile(disk, path, 'read', file => use(new FileWindow(disk, file)))
}
