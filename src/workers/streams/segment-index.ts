import {
  entryPosition,
  followsCheckpoint,
  INDEX_PAGE_ENTRIES,
} from '../../shared/format/index-page.ts'
import type { Disk } from '../disk/disk.ts'
import { isUnknown, lastCheckpoint, readPage, scanEntries } from './offset-index.ts'
import type { CheckpointPlace, SegmentExtent } from './segment-extent.ts'
import { CHECKPOINT_RECORD_BYTES } from '../../shared/format/checkpoint.ts'

/**
 * Finds the records of one segment by its index, or by a scan of the segment if the index is
 * missing, unreadable or contradicts the segment.
 */
export class SegmentIndex {
  readonly #disk: Disk
  readonly #directory: string
  readonly segment: SegmentExtent
  readonly #offsetAt: (position: number) => number | undefined
  #page = -1
  #entries: readonly number[] | undefined
  #scanned: readonly number[] | undefined
  /** Whether the index failed a lookup, so that it should be rebuilt. */
  isStale = false

  /** @param offsetAt returns the offset that the record at a position of the segment claims */
  constructor(
    disk: Disk,
    directory: string,
    segment: SegmentExtent,
    offsetAt: (position: number) => number | undefined,
  ) {
    this.#disk = disk
    this.#directory = directory
    this.segment = segment
    this.#offsetAt = offsetAt
  }

  /** Returns the index entry of record `offset`; undefined if its position cannot be found. */
  entry(offset: number): number | undefined {
    const ordinal = offset - this.segment.firstOffset
    const known = this.#pageOf(ordinal)?.[ordinal % INDEX_PAGE_ENTRIES]
    const isUsable = known !== undefined && entryPosition(known) < this.segment.bytes
    if (isUsable && !isUnknown(known, ordinal)) return known
    const found = this.#scan()[ordinal]
    if (found === undefined || isUnknown(found, ordinal)) return undefined
    this.isStale = true
    return found
  }

  /** Returns the byte position of record `offset`, or the segment's end for its next offset. */
  position(offset: number): number | undefined {
    if (offset === this.segment.nextOffset) return this.segment.bytes
    const entry = this.entry(offset)
    return entry === undefined ? undefined : entryPosition(entry)
  }

  /** Returns the position of the nearest record at or below `offset` that can be found, or 0. */
  positionAtOrBelow(offset: number): number {
    for (let at = offset; at > this.segment.firstOffset; at -= 1) {
      const position = this.position(at)
      if (position !== undefined) return position
    }
    return 0
  }

  /** Returns the nearest checkpoint at or below offset `before`, if this segment has one. */
  checkpointAtOrBelow(before: number): CheckpointPlace | undefined {
    const segment = this.segment
    const { firstOffset, nextOffset, bytes } = segment
    if (before === nextOffset && segment.endsWithCheckpoint) {
      return { segment, position: bytes - CHECKPOINT_RECORD_BYTES, offset: nextOffset }
    }
    const last = Math.min(before, nextOffset - 1) - firstOffset
    if (last < 0) return undefined
    const first = Math.floor(last / INDEX_PAGE_ENTRIES)
    for (let page = first, end = last % INDEX_PAGE_ENTRIES; page >= 0; page -= 1) {
      const entries = this.#pageOf(page * INDEX_PAGE_ENTRIES)
      if (entries === undefined || entries.length <= end) {
        this.isStale = true
        return this.#placeOf(lastCheckpoint(this.#scan().slice(0, last + 1)), 0)
      }
      const found = lastCheckpoint(entries.slice(0, end + 1))
      if (found !== undefined) return this.#placeOf(found, page * INDEX_PAGE_ENTRIES)
      end = INDEX_PAGE_ENTRIES - 1
    }
    return undefined
  }

  /**
   * Yields the offsets from `low` on that have a checkpoint right before them, and undefined for
   * each record whose position cannot be found.
   */
  *checkpointsFrom(low: number): Generator<number | undefined> {
    const { firstOffset, nextOffset } = this.segment
    for (let offset = Math.max(low, firstOffset); offset < nextOffset; offset += 1) {
      const entry = this.entry(offset)
      if (entry === undefined) yield undefined
      else if (followsCheckpoint(entry)) yield offset
    }
  }

  #placeOf(
    found: ReturnType<typeof lastCheckpoint>,
    firstOrdinal: number,
  ): CheckpointPlace | undefined {
    if (found === undefined) return undefined
    const position = found.position - CHECKPOINT_RECORD_BYTES
    const offset = this.segment.firstOffset + firstOrdinal + found.ordinal
    return { segment: this.segment, position, offset }
  }

  #pageOf(ordinal: number): readonly number[] | undefined {
    if (this.isStale) return undefined
    const page = Math.floor(ordinal / INDEX_PAGE_ENTRIES)
    if (page !== this.#page) {
      this.#page = page
      const entries = readPage(this.#disk, this.#directory, this.segment.number, page)
      this.#entries = entries && this.#isRight(entries, ordinal) ? entries : undefined
    }
    return this.#entries
  }

  /** Whether an index page is of this segment, by the offset of a record or of a neighbour. */
  #isRight(entries: readonly number[], ordinal: number): boolean {
    const at = ordinal % INDEX_PAGE_ENTRIES
    const first = this.segment.firstOffset + ordinal - at
    const known = [at, at - 1, at + 1].filter(index => (entries[index] ?? 0) > 0)
    const isSo = (index: number) =>
      this.#offsetAt(entryPosition(entries[index] as number)) === first + index
    if (known.length === 0 || known.some(isSo)) return true
    // All three records may be lost, so compare the page with a scan of the segment.
    const scanned = this.#scan()
    const from = ordinal - at
    return entries.every((entry, index) => [0, undefined, entry].includes(scanned[from + index]))
  }

  #scan(): readonly number[] {
    if (this.#scanned === undefined) {
      const { number, bytes, firstOffset } = this.segment
      this.#scanned = scanEntries(this.#disk, this.#directory, number, bytes, firstOffset)
    }
    return this.#scanned
  }
}
