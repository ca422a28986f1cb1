import { BATCH_ITEM_HEADER_BYTES, encodeBatchItemHeader } from '../../shared/format/batch.ts'
import type { RecordFormat } from '../../shared/format/record.ts'

export type Batch = {
  /** In the batch encoding. */
  readonly bytes: Buffer
  readonly count: number
  /** Of the bodies alone. */
  readonly bodyBytes: number
  /** Where in the input its last record ends. */
  readonly end: number
}

export type BatchBounds = {
  readonly recordsMax: number
  /** Encoded; one record alone may have more. */
  readonly bytesMax: number
}

/** Collects records, without headers, in the batch encoding. */
export class BatchBuilder {
  readonly #bounds: BatchBounds
  #bytes = Buffer.alloc(0)
  #at = 0
  #count = 0
  #end = 0

  constructor(bounds: BatchBounds) {
    this.#bounds = bounds
  }

  get count(): number {
    return this.#count
  }

  /** Whether a record fits; into an empty batch every one does. */
  fits(bodyLength: number): boolean {
    const { recordsMax, bytesMax } = this.#bounds
    if (this.#count === 0) return true
    return this.#count < recordsMax && this.#sizeWith(bodyLength) <= bytesMax
  }

  /** Takes a record, whether it fits or not. @param end where in the input it ends */
  add(format: RecordFormat, body: Buffer, end = 0): void {
    const size = this.#sizeWith(body.length)
    if (this.#count === 0) this.#bytes = Buffer.allocUnsafe(Math.max(this.#bounds.bytesMax, size))
    else if (size > this.#bytes.length) {
      this.#bytes = Buffer.concat([this.#bytes], Math.max(size, this.#bytes.length * 2))
    }
    this.#at = encodeBatchItemHeader(this.#bytes, this.#at, format, 0, body.length)
    this.#at += body.copy(this.#bytes, this.#at)
    this.#count += 1
    this.#end = end
  }

  /** The batch so far; the next one starts empty. */
  take(): Batch {
    const bytes = this.#bytes.subarray(0, this.#at)
    const count = this.#count
    this.#at = 0
    this.#count = 0
    return {
      bytes,
      count,
      bodyBytes: bytes.length - count * BATCH_ITEM_HEADER_BYTES,
      end: this.#end,
    }
  }

  #sizeWith(bodyLength: number): number {
    return this.#at + BATCH_ITEM_HEADER_BYTES + bodyLength
  }
}
