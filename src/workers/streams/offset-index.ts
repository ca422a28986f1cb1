import {
  decodeIndexPage,
  encodeIndexPage,
  INDEX_PAGE_ENTRIES,
} from '../../shared/format/index-page.ts'
import { indexPath, segmentPath } from '../../shared/format/paths.ts'
import { claimedRecordBytes, RECORD_HEADER_BYTES } from '../../shared/format/record.ts'
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
  const path = indexPath(directory, segment)
  if (!disk.exists(path)) return undefined
  const page = Math.floor(ordinal / INDEX_PAGE_ENTRIES)
  const bytes = withFile(disk, path, 'read', file =>
    readFully(disk, file, page * PAGE_BYTES, PAGE_BYTES),
  )
  return decodeIndexPage(bytes, page)?.[ordinal % INDEX_PAGE_ENTRIES]
}

/** Adds the positions of records `ordinal`, `ordinal + 1`, .... */
export function extendIndex(
  disk: Disk,
  directory: string,
  segment: number,
  ordinal: number,
  positions: readonly number[],
): void {
  const path = indexPath(directory, segment)
  withFile(disk, path, ordinal === 0 ? 'create' : openMode(disk, path), file => {
    let page = Math.floor(ordinal / INDEX_PAGE_ENTRIES)
    let kept = keptEntries(disk, file, directory, segment, page, ordinal % INDEX_PAGE_ENTRIES)
    for (let done = 0; done < positions.length; page += 1) {
      const taken = positions.slice(done, done + INDEX_PAGE_ENTRIES - kept.length)
      writeFully(disk, file, encodeIndexPage(page, kept.concat(taken)), page * PAGE_BYTES)
      done += taken.length
      kept = []
    }
  })
}

/** Writes a segment's index anew from its first `bytes`. */
export function rebuildIndex(disk: Disk, directory: string, segment: number, bytes: number): void {
  extendIndex(disk, directory, segment, 0, scanPositions(disk, directory, segment, bytes))
}

/** Positions of the records in a segment's first `bytes`, by walking the headers. */
export function scanPositions(
  disk: Disk,
  directory: string,
  segment: number,
  bytes: number,
): number[] {
  const positions: number[] = []
  withFile(disk, segmentPath(directory, segment), 'read', file => {
    let window: Buffer = Buffer.alloc(0)
    let windowAt = 0
    for (let at = 0; at < bytes; ) {
      if (at + RECORD_HEADER_BYTES > windowAt + window.length) {
        windowAt = at
        window = readFully(disk, file, at, Math.min(MIB, bytes - at))
      }
      const size = claimedRecordBytes(window, at - windowAt)
      if (size === 0) break // damage: the index ends before it, reads name it
      positions.push(at)
      at += size
    }
  })
  return positions
}

function openMode(disk: Disk, path: string): 'update' | 'create' {
  return disk.exists(path) ? 'update' : 'create'
}

/** The first `count` entries of a page that is about to be rewritten. */
function keptEntries(
  disk: Disk,
  file: number,
  directory: string,
  segment: number,
  page: number,
  count: number,
): number[] {
  if (count === 0) return []
  const entries = decodeIndexPage(readFully(disk, file, page * PAGE_BYTES, PAGE_BYTES), page)
  if (entries !== undefined && entries.length >= count) return entries.slice(0, count)
  const path = segmentPath(directory, segment)
  const end = withFile(disk, path, 'read', open => disk.size(open))
  const first = page * INDEX_PAGE_ENTRIES
  return scanPositions(disk, directory, segment, end).slice(first, first + count)
}
