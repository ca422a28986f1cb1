import { assert } from '../../shared/assert.ts'
import { latin1ToHex } from '../../shared/format/bytes.ts'
import type { SegmentRange } from '../../shared/format/manifest.ts'
import { segmentPath } from '../../shared/format/paths.ts'
import { viewRecord } from '../../shared/format/record.ts'
import { MIB } from '../../shared/limits.ts'
import type { Disk } from '../disk/disk.ts'
import { withFile, writeFully } from '../disk/files.ts'
import { extendIndex } from './offset-index.ts'

/** Where a stream's segments end. */
export type SegmentEnd = {
  readonly segment: number
  readonly segmentFirstOffset: number
  readonly segmentBytes: number
}

/** Bytes collected before they go to the file in one write. */
const WRITE_BYTES = MIB

/**
 * Appends records to a stream's segments, in large writes and without syncing, and rolls to the
 * next segment before one would grow past `maxSegmentBytes`. Whoever calls it syncs `files`.
 *
 * Invariant: bytes below the end that it was given are never touched.
 */
export class SegmentWriter {
  readonly #disk: Disk
  readonly #directory: string
  readonly #maxSegmentBytes: number
  #segment: number
  #firstOffset: number
  #bytes: number
  #pending: Buffer[] = []
  #pendingBytes = 0
  #positions: number[] = []
  #nextOffset: number
  /** Segments that were sealed on the way. */
  readonly rolled: SegmentRange[] = []
  /** Paths written to. */
  readonly files = new Set<string>()

  constructor(
    disk: Disk,
    directory: string,
    stream: { maxSegmentBytes: number; nextOffset: number },
    end: SegmentEnd,
  ) {
    this.#disk = disk
    this.#directory = directory
    this.#maxSegmentBytes = stream.maxSegmentBytes
    this.#nextOffset = stream.nextOffset
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

  /** Appends records that lie back to back in `records`, in order. */
  append(records: Buffer): void {
    let from = 0
    for (let at = 0; at < records.length; ) {
      const record = viewRecord(records, at)
      assert(record?.offset === this.#nextOffset, `record ${this.#nextOffset} comes next`)
      const position = this.#bytes + this.#pendingBytes + at - from
      if (position > 0 && position + record.end - at > this.#maxSegmentBytes) {
        this.#take(records.subarray(from, at))
        from = at
        this.#roll(record.previousHash)
        continue
      }
      this.#positions.push(position)
      this.#nextOffset += 1
      at = record.end
    }
    this.#take(records.subarray(from))
  }

  /** Writes out what is still collected. */
  flush(): void {
    if (this.#pendingBytes === 0) return
    const path = segmentPath(this.#directory, this.#segment)
    const mode = this.#bytes === 0 ? 'create' : 'update'
    withFile(this.#disk, path, mode, file => {
      // Bytes past the end are an earlier try of a checkpoint that did not come to its commit.
      if (this.#disk.size(file) > this.#bytes) this.#disk.truncate(file, this.#bytes)
      writeFully(this.#disk, file, Buffer.concat(this.#pending), this.#bytes)
    })
    this.files.add(path)
    const ordinal = this.#nextOffset - this.#positions.length - this.#firstOffset
    extendIndex(this.#disk, this.#directory, this.#segment, ordinal, this.#positions)
    this.#bytes += this.#pendingBytes
    this.#pending = []
    this.#pendingBytes = 0
    this.#positions = []
  }

  #take(records: Buffer): void {
    if (records.length === 0) return
    this.#pending.push(records)
    this.#pendingBytes += records.length
    if (this.#pendingBytes >= WRITE_BYTES) this.flush()
  }

  /**
   * @param chainHead hash of the last record before the roll, which the next one names as previous
   */
  #roll(chainHead: string): void {
    this.flush()
    this.rolled.push({
      number: this.#segment,
      firstOffset: this.#firstOffset,
      nextOffset: this.#nextOffset,
      bytes: this.#bytes,
      chainHead: latin1ToHex(chainHead),
    })
    this.#segment += 1
    this.#firstOffset = this.#nextOffset
    this.#bytes = 0
  }
}
