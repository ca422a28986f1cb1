import { crc32 } from 'node:zlib'
import type { StreamEntry } from '../../shared/format/catalogue.ts'
import { segmentPath } from '../../shared/format/paths.ts'
import type { Reference } from '../../shared/format/reference.ts'
import { KIB } from '../../shared/limits.ts'
import { signedStateHash } from '../streams/stream-binding.ts'
import type { Disk } from '../disk/disk.ts'
import type { Draft } from './draft.ts'
import { withWindow } from './file-window.ts'

// Appends whose records lie in the stream's segment, and that the journal only refers to. Up to the
// last of them everything of the stream is in its segments, whatever the catalogue says yet.

/** One of them, as the journal tells of it. */
export type StoredAppend = {
  readonly reference: Reference
  /** Chain hash before it, latin1; undefined where the journal before it is damaged. */
  readonly headBefore: string | undefined
  /** Hash of the stream's state then, latin1; undefined if unknown. */
  readonly stateHash: string | undefined
}

/** What the chain has to be at a byte of a segment. */
export type Mark = {
  readonly segment: number
  readonly at: number
  /** latin1 */
  readonly head: string
  /** latin1, of the stream's state; undefined if unknown */
  readonly stateHash: string | undefined
  /** Why, as the end of a sentence. */
  readonly reason: string
}

/** Those that the catalogue's entry does not know of yet. */
export function beyond(entry: StreamEntry, stored: readonly StoredAppend[]): StoredAppend[] {
  return stored.filter(({ reference }) => reference.firstOffset >= entry.nextOffset)
}

/** The entry as far as the segments reach with them. */
export function extended(entry: StreamEntry, stored: readonly StoredAppend[]): StreamEntry {
  const last = stored.at(-1)?.reference
  if (last === undefined) return entry
  const { segment, segmentBytes, segmentFirstOffset, chainHead, recordHash } = last
  const nextOffset = last.firstOffset + last.count
  const extent = { segment, segmentBytes, segmentFirstOffset, nextOffset }
  return { ...entry, ...extent, chainHead, recordHash, lastCheckpoint: last.lastCheckpoint }
}

/**
 * Returns the hash of the state that the last stored checkpoint signs; undefined if there are
 * unwritten records, because the last change may be among them.
 */
export function storedStateHash(entry: StreamEntry): string | undefined {
  return entry.unwritten.length > 0 ? undefined : signedStateHash(entry)
}

/** What catalogue and journal say of the chain inside the segments, before where they end. */
export function marksOf(entry: StreamEntry, stored: readonly StoredAppend[]): Mark[] {
  const marks: Mark[] = []
  let { segment, segmentBytes: at, chainHead: head } = entry
  let stateHash = storedStateHash(entry)
  let reason = 'the catalogue names another hash for it'
  for (const { reference, headBefore, stateHash: stateBefore } of stored) {
    marks.push({ segment, at, head, stateHash, reason })
    stateHash = stateBefore
    reason = 'the journal names another hash for it'
    const start = reference.segmentBytes - reference.length
    const isBehind = reference.segment === segment && start === at
    if (headBefore !== undefined && !isBehind) {
      const before = { segment: reference.segment, at: start, head: headBefore }
      marks.push({ ...before, stateHash, reason })
    }
    ;({ segment, segmentBytes: at, chainHead: head } = reference)
  }
  return marks
}

/** Holds the bytes of an append, which lie in their segment whole, against its checksum. */
export function checkBytes(
  disk: Disk,
  directory: string,
  stream: string,
  { reference }: StoredAppend,
  draft: Draft,
): void {
  const { segment, segmentBytes: end, length, checksum, firstOffset, count } = reference
  const file = segmentPath(directory, segment)
  const found = withWindow(disk, file, window => {
    let sum = 0
    for (let at = Math.max(0, end - length); at < end; at += PIECE_BYTES) {
      sum = crc32(window.read(at, Math.min(PIECE_BYTES, end - at)), sum)
    }
    return sum
  })
  if (found === checksum && length <= end) return
  const offsets = [firstOffset, firstOffset + count] as const
  const reason = 'the records are not those that the journal refers to'
  draft.damage({ file, stream, offsets, bytes: [Math.max(0, end - length), end], reason })
}

const PIECE_BYTES = 64 * KIB
