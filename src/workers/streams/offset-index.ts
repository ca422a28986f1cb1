import {
  decodeIndexPage,
  encodeIndexPage,
  entryPosition,
  followsCheckpoint,
  INDEX_PAGE_ENTRIES,
  indexEntry,
} from '../../shared/format/index-page.ts'
import { indexPath, segmentPath } from '../../shared/format/paths.ts'
import { RecordKind } from '../../shared/format/record.ts'
import { PAGE_BYTES } from '../../shared/limits.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { readFully, withFile, writeFully } from '../disk/files.ts'
import { SegmentFile } from './segment-file.ts'

// The index is a cache and never synced: a page that does not check, or cannot be read, is rebuilt
// from the segment.
//
// Invariant: an entry is at the ordinal of its record, or it is 0, which for any but the first
// record says that nobody knows. So records behind damage are never looked for at wrong places.

/**
 * Position of record number `ordinal` of a segment, by one small read at a computed place.
 * Undefined when the index does not have it or the page does not check.
 */
export function lookUp(
  disk: Disk,
  directory: string,
  segment: number,
  ordinal: number,
): number | undefined {
  const page = Math.floor(ordinal / INDEX_PAGE_ENTRIES)
  const entry = readPage(disk, directory, segment, page)?.[ordinal % INDEX_PAGE_ENTRIES]
  return entry === undefined || isUnknown(entry, ordinal) ? undefined : entryPosition(entry)
}

/** Whether the entry of record number `ordinal` says that its place is not known. */
export function isUnknown(entry: number, ordinal: number): boolean {
  return entry === 0 && ordinal > 0
}

/** The record right behind a checkpoint: its number, and where it starts. */
export type CheckpointEnd = { readonly ordinal: number; readonly position: number }

/** The last of `entries` that a checkpoint lies right before, numbered from the first of them. */
export function lastCheckpoint(entries: readonly number[]): CheckpointEnd | undefined {
  const ordinal = entries.findLastIndex(followsCheckpoint)
  const entry = entries[ordinal]
  return entry === undefined ? undefined : { ordinal, position: entryPosition(entry) }
}

/** Returns the entries on a page of the index; undefined where there is no sound one. */
export function readPage(
  disk: Disk,
  directory: string,
  segment: number,
  page: number,
): number[] | undefined {
  try {
    const bytes = withFile(disk, indexPath(directory, segment), 'read', file =>
      readFully(disk, file, page * PAGE_BYTES, PAGE_BYTES),
    )
    return decodeIndexPage(bytes, page)
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    return undefined // a cache: whoever needs it reads the segment instead
  }
}

/**
 * Adds the entries of records `ordinal`, `ordinal + 1`, ....
 * @param firstOffset of the segment, where it is known; see `scanEntries`
 */
export function extendIndex(
  disk: Disk,
  directory: string,
  segment: number,
  ordinal: number,
  entries: readonly number[],
  firstOffset?: number,
): void {
  const path = indexPath(directory, segment)
  withFile(disk, path, ordinal === 0 ? 'create' : openMode(disk, path), file => {
    let page = Math.floor(ordinal / INDEX_PAGE_ENTRIES)
    let kept = keptEntries(disk, file, directory, segment, ordinal, firstOffset)
    for (let done = 0; done < entries.length; page += 1) {
      const taken = entries.slice(done, done + INDEX_PAGE_ENTRIES - kept.length)
      writeFully(disk, file, encodeIndexPage(page, kept.concat(taken)), page * PAGE_BYTES)
      done += taken.length
      kept = []
    }
  })
}

/** Writes a segment's index anew from its first `bytes`; see `scanEntries`. */
export function rebuildIndex(
  disk: Disk,
  directory: string,
  segment: number,
  bytes: number,
  firstOffset?: number,
): void {
  const entries = scanEntries(disk, directory, segment, bytes, firstOffset)
  extendIndex(disk, directory, segment, 0, entries)
}

/**
 * Returns the entries of the records in a segment's first `bytes`, by walking the headers; 0 for
 * records that are lost. What lies behind damage is found by its marker and checked whole.
 * @param firstOffset of the segment; without it nothing is found behind a damaged first record
 */
export function scanEntries(
  disk: Disk,
  directory: string,
  segment: number,
  bytes: number,
  firstOffset?: number,
): number[] {
  const file = new SegmentFile(disk, segmentPath(directory, segment), bytes)
  try {
    return new EntryScan(file, file.available, firstOffset).run()
  } finally {
    file.close()
  }
}

/** One walk over the headers of a segment. */
class EntryScan {
  readonly #file: SegmentFile
  readonly #bytes: number
  readonly #entries: number[] = []
  #firstOffset: number | undefined
  #afterCheckpoint = false

  constructor(file: SegmentFile, bytes: number, firstOffset: number | undefined) {
    this.#file = file
    this.#bytes = bytes
    this.#firstOffset = firstOffset
  }

  run(): number[] {
    let before = 0
    for (let at = 0; at < this.#bytes; ) {
      const end = this.#take(at)
      if (end !== undefined) {
        before = at
        at = end
        continue
      }
      const found = this.#findBehind(before, at)
      if (found === undefined) break
      at = found
    }
    return this.#entries
  }

  /** Takes the element at `at` by its header; returns where it ends, undefined where it is none. */
  #take(at: number): number | undefined {
    this.#file.preload(at)
    const record = this.#file.claimedAt(at)
    if (record === undefined) return undefined
    const end = at + record.end - record.at
    if (end > this.#bytes) return undefined
    this.#firstOffset ??= record.offset
    if (record.offset !== this.#firstOffset + this.#entries.length) return undefined
    const isCheckpoint = record.kind === RecordKind.Checkpoint
    if (!isCheckpoint) this.#entries.push(indexEntry(at, this.#afterCheckpoint))
    this.#afterCheckpoint = isCheckpoint
    return end
  }

  /**
   * Finds the next whole element, and notes the records before it as unknown. The length of the
   * element at `before` may be what is damaged: then the next one is not where it says.
   */
  #findBehind(before: number, at: number): number | undefined {
    if (this.#firstOffset === undefined) return undefined
    const isSound = at > before && this.#file.viewAt(before) !== undefined
    const next = this.#firstOffset + this.#entries.length
    const found = this.#file.search(isSound ? at : before + 1, next, Number.MAX_SAFE_INTEGER)
    if (found === undefined) return undefined
    for (let offset = next; offset < found.record.offset; offset += 1) this.#entries.push(0)
    this.#afterCheckpoint = false
    return found.position
  }
}

function openMode(disk: Disk, path: string): 'update' | 'create' {
  return disk.exists(path) ? 'update' : 'create'
}

/**
 * The entries below `ordinal` of the page that it is on; the pages below are made whole first,
 * where a crash or records that went to the segment by themselves have left them behind.
 */
function keptEntries(
  disk: Disk,
  file: number,
  directory: string,
  segment: number,
  ordinal: number,
  firstOffset: number | undefined,
): number[] {
  const page = Math.floor(ordinal / INDEX_PAGE_ENTRIES)
  const count = ordinal % INDEX_PAGE_ENTRIES
  const kept = count === 0 ? [] : readPage(disk, directory, segment, page)
  const before = page === 0 ? undefined : readPage(disk, directory, segment, page - 1)
  const isWhole = page === 0 || before?.length === INDEX_PAGE_ENTRIES
  if (isWhole && kept !== undefined && kept.length >= count) return kept.slice(0, count)
  const found = scanEntries(disk, directory, segment, Number.MAX_SAFE_INTEGER, firstOffset)
  // Damage may end the scan early: the records that come now keep their ordinals all the same.
  const entries = Array.from({ length: ordinal }, (_, at) => found[at] ?? 0)
  for (let number = 0; number < page; number += 1) {
    const first = number * INDEX_PAGE_ENTRIES
    const whole = encodeIndexPage(number, entries.slice(first, first + INDEX_PAGE_ENTRIES))
    writeFully(disk, file, whole, number * PAGE_BYTES)
  }
  return entries.slice(ordinal - count)
}
