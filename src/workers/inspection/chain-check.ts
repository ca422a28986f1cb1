import { chainHashOf } from '../../shared/format/chain.ts'
import type { RecordView } from '../../shared/format/record.ts'
import type { Draft } from './draft.ts'

/** Where a record lies. */
type Place = { readonly file: string; readonly at: number; readonly end: number }

/**
 * The chain of one stream as it is followed through segments and journal. A record whose checksum
 * was repaired after a change is told by the next one, which names the hash that it had.
 */
export class ChainCheck {
  readonly #stream: string
  readonly #streamId: string
  #draft: Draft
  #last: Place | undefined
  /** The offset that comes next. */
  nextOffset: number
  /** Chain hash before it, latin1; undefined after records that could not be read. */
  head: string | undefined

  constructor(stream: string, streamId: string, nextOffset: number, head: string, draft: Draft) {
    this.#stream = stream
    this.#streamId = streamId
    this.nextOffset = nextOffset
    this.head = head
    this.#draft = draft
  }

  /** Takes the next record, `record` of `bytes`; its place is where it lies in its file. */
  accept(place: Place, bytes: Buffer, record: RecordView): void {
    this.expectHead(record.previousHash, place, `record ${record.offset} does not link to it`)
    this.head = chainHashOf(this.#streamId, bytes, record)
    this.nextOffset = record.offset + 1
    this.#last = place
    this.#draft.counts.records += 1
    this.#draft.counts.recordBytes += place.end - place.at
  }

  /** Goes on at `offset`, behind records that could not be read; named by the caller. */
  lose(offset: number): void {
    this.nextOffset = offset
    this.head = undefined
    this.#last = undefined
  }

  /**
   * Holds the hash of the last record against what something else says of it.
   * @param other the place to name when there is no last record in hand
   */
  expectHead(expected: string, other: Place, reason: string): void {
    if (this.head === undefined || this.head === expected) return
    const place = this.#last ?? other
    const offset = this.#last === undefined ? this.nextOffset : this.nextOffset - 1
    this.#draft.damage({
      file: place.file,
      stream: this.#stream,
      offsets: [offset, offset + 1],
      bytes: [place.at, place.end],
      reason: `not as it was written: ${reason}`,
    })
  }
}
