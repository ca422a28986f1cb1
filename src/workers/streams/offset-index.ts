import {
  decodeIndexPage,
  encodeIndexPage,
  entryPosition,
  followsCheckpoint,
  INDEX_PAGE_ENTRIES,
  indexEntry,
} from '../../shared/format/index-page.ts'
import { indexPath, segmentPath } from '../../shared/format/paths.ts'
import {
  claimedRecordBytes,
  isCheckpointAt,
  RECORD_HEADER_BYTES,
} from '../../shared/format/record.ts'
import { MIB, PAGE_BYTES } from '../../shared/limits.ts'
import type { Disk } from '../disk/disk.ts'
import { readFully, withFile, writeFully } from '../disk/files.ts'

// The index is a cache and never synced: a page that does not check is rebuilt from the segment.

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
  return entry === undefined ? undefined : entryPosition(entry)
}

/** The record right behind a checkpoint: its number, and where it starts. */
export type CheckpointEnd = { readonly ordinal: number; readonly position: number }

/** The last of `entries` that a checkpoint lies right before, numbered from the first of them. */
export function lastCheckpoint(entries: readonly number[]): CheckpointEnd | undefined {
  const ordinal = entries.findLastIndex(followsCheckpoint)
  const entry = entries[ordinal]
  return entry === undefined ? undefined : { ordinal, position: entryPosition(entry) }
}

/**
 * The nearest record at or below number `ordinal` that a checkpoint lies right before;
 * undefined when the segment has none, `damaged` when the index cannot say. Its cost grows with the
 * distance, by a page for every INDEX_PAGE_ENTRIES records.
 */
export function findCheckpoint(
  disk: Disk,
  directory: string,
  segment: number,
  ordinal: number,
): CheckpointEnd | undefined | 'damaged' {
  const last = ordinal % INDEX_PAGE_ENTRIES
  for (let page = Math.floor(ordinal / INDEX_PAGE_ENTRIES), end = last; page >= 0; page -= 1) {
    const entries = readPage(disk, directory, segment, page)
    if (entries === undefined || entries.length <= end) return 'damaged'
    const found = lastCheckpoint(entries.slice(0, end + 1))
    if (found !== undefined) return { ...found, ordinal: page * INDEX_PAGE_ENTRIES + found.ordinal }
    end = INDEX_PAGE_ENTRIES - 1
  }
  return undefined
}

/** Entries of a segment's records from number `ordinal` on, page by page, as far as they check. */
export function* entriesFrom(
  disk: Disk,
  directory: string,
  segment: number,
  ordinal: number,
): Generator<readonly [ordinal: number, entry: number]> {
  for (let at = ordinal; ; ) {
    const page = Math.floor(at / INDEX_PAGE_ENTRIES)
    const entries = readPage(disk, directory, segment, page) ?? []
    for (const entry of entries.slice(at % INDEX_PAGE_ENTRIES)) {
      yield [at, entry]
      at += 1
    }
    if (entries.length < INDEX_PAGE_ENTRIES) return
  }
}

function readPage(
  disk: Disk,
  directory: string,
  segment: number,
  page: number,
): number[] | undefined {
  const path = indexPath(directory, segment)
  if (!disk.exists(path)) return undefined
  const bytes = withFile(disk, path, 'read', file =>
    readFully(disk, file, page * PAGE_BYTES, PAGE_BYTES),
  )
  return decodeIndexPage(bytes, page)
}

/** Adds the entries of records `ordinal`, `ordinal + 1`, .... */
export function extendIndex(
  disk: Disk,
  directory: string,
  segment: number,
  ordinal: number,
  entries: readonly number[],
): void {
  const path = indexPath(directory, segment)
  withFile(disk, path, ordinal === 0 ? 'create' : openMode(disk, path), file => {
    let page = Math.floor(ordinal / INDEX_PAGE_ENTRIES)
    let kept = keptEntries(disk, file, directory, segment, ordinal)
    for (let done = 0; done < entries.length; page += 1) {
      const taken = entries.slice(done, done + INDEX_PAGE_ENTRIES - kept.length)
      writeFully(disk, file, encodeIndexPage(page, kept.concat(taken)), page * PAGE_BYTES)
      done += taken.length
      kept = []
    }
  })
}

/** Writes a segment's index anew from its first `bytes`. */
export function rebuildIndex(disk: Disk, directory: string, segment: number, bytes: number): void {
  extendIndex(disk, directory, segment, 0, scanEntries(disk, directory, segment, bytes))
}

/** Entries of the records in a segment's first `bytes`, by walking the headers. */
export function scanEntries(
  disk: Disk,
  directory: string,
  segment: number,
  bytes: number,
): number[] {
  const entries: number[] = []
  withFile(disk, segmentPath(directory, segment), 'read', file => {
    let window: Buffer = Buffer.alloc(0)
    let windowAt = 0
    let afterCheckpoint = false
    for (let at = 0; at < bytes; ) {
      if (at + RECORD_HEADER_BYTES > windowAt + window.length) {
        windowAt = at
        window = readFully(disk, file, at, Math.min(MIB, bytes - at))
      }
      const size = claimedRecordBytes(window, at - windowAt)
      if (size === 0) break // damage: the index ends before it, reads name it
      const isCheckpoint = isCheckpointAt(window, at - windowAt)
      if (!isCheckpoint) entries.push(indexEntry(at, afterCheckpoint))
      afterCheckpoint = isCheckpoint
      at += size
    }
  })
  return entries
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
): number[] {
  const page = Math.floor(ordinal / INDEX_PAGE_ENTRIES)
  const count = ordinal % INDEX_PAGE_ENTRIES
  const read = (number: number) =>
    decodeIndexPage(readFully(disk, file, number * PAGE_BYTES, PAGE_BYTES), number)
  const kept = count === 0 ? [] : read(page)
  const isWhole = page === 0 || read(page - 1)?.length === INDEX_PAGE_ENTRIES
  if (isWhole && kept !== undefined && kept.length >= count) return kept.slice(0, count)
  const path = segmentPath(directory, segment)
  const end = withFile(disk, path, 'read', open => disk.size(open))
  const entries = scanEntries(disk, directory, segment, end)
  for (let number = 0; number < page; number += 1) {
    const first = number * INDEX_PAGE_ENTRIES
    const whole = encodeIndexPage(number, entries.slice(first, first + INDEX_PAGE_ENTRIES))
    writeFully(disk, file, whole, number * PAGE_BYTES)
  }
  return entries.slice(ordinal - count, ordinal)
}
