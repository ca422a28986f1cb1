import {
  type CatalogueEntry,
  type CommitEntry,
  decodeEntry,
  EntryType,
  encodeCommitEntry,
  encodeDecisionEntry,
  encodeRemovedEntry,
  type StreamEntry,
} from '../../shared/format/catalogue.ts'
import { assert } from '../../shared/assert.ts'
import { cataloguePath, parentPath } from '../../shared/format/paths.ts'
import { MIB } from '../../shared/limits.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { readFully, readWhole, replaceFile, withFile, writeFully } from '../disk/files.ts'
import type { Steps } from '../disk/sync-steps.ts'

/** A stream's entry that holds, and where it lies in the file. */
export type LiveEntry = { readonly stream: StreamEntry; readonly at: number; readonly end: number }

/** The catalogue as its last commit left it. */
export type CatalogueContent = {
  readonly live: readonly LiveEntry[]
  readonly commit: CommitEntry
  /** Transactions committed by this shard that another may still ask about. */
  readonly decisions: readonly number[]
  /** Ids (latin1) of the streams that the last checkpoint removed: a crash may have left files. */
  readonly removed: readonly string[]
  /** Bytes up to the end of the last commit. */
  readonly bytes: number
  /** Where the last checkpoint's own entries start: they may be in the page cache alone. */
  readonly lastCheckpointAt: number
}

/** The bytes of a catalogue that cannot be vouched for. */
export type CatalogueDamage = { readonly damagedAt: number; readonly damagedTo: number }

const COMPACT_FROM_BYTES = MIB
const MAGIC = Buffer.from('VCAT')

/**
 * Reads a catalogue up to its last commit. What follows that is an unfinished checkpoint; bytes
 * that do not check with later checkpoints after them are damage.
 */
export function parseCatalogue(bytes: Buffer): CatalogueContent | CatalogueDamage {
  const live = new Map<string, LiveEntry>()
  let uncommitted: Uncommitted[] = []
  let commit: CommitEntry | undefined
  let last: Settled = { decisions: [], removed: [] }
  let end = 0
  let lastCheckpointAt = 0
  let at = 0
  for (let entry = decodeEntry(bytes, at); entry !== undefined; entry = decodeEntry(bytes, at)) {
    const start = at
    at = entry.end
    if (entry.type === EntryType.Stream) {
      uncommitted.push({ stream: entry.stream, at: start, end: at })
    } else if (entry.type !== EntryType.Commit) uncommitted.push(entry)
    else {
      if (entry.commit.entries !== uncommitted.length) break
      last = apply(uncommitted, live) // only the last checkpoint's count
      uncommitted = []
      lastCheckpointAt = end
      end = at
      commit = entry.commit
    }
  }
  // One commit after bytes that do not check may be that of the same unfinished checkpoint, whose
  // sectors reach the disk in any order. A second one was written after the first was synced.
  const later = findCommits(bytes, at)
  if (commit === undefined || later.length > 1) {
    return { damagedAt: at, damagedTo: later[0] ?? bytes.length }
  }
  return { live: [...live.values()], commit, ...last, bytes: end, lastCheckpointAt }
}

/** An entry that its commit makes hold. */
type Uncommitted = LiveEntry | Exclude<CatalogueEntry, { type: typeof EntryType.Stream }>

type Settled = { readonly decisions: number[]; readonly removed: string[] }

/** Returns the decisions and the removed streams among the entries. */
function apply(entries: readonly Uncommitted[], live: Map<string, LiveEntry>): Settled {
  const decisions: number[] = []
  const removed: string[] = []
  for (const entry of entries) {
    if ('stream' in entry) live.set(entry.stream.streamId, entry)
    else if (entry.type === EntryType.Removed) {
      live.delete(entry.streamId)
      removed.push(entry.streamId)
    } else if (entry.type === EntryType.Decision) decisions.push(entry.transaction)
  }
  return { decisions, removed }
}

/** Positions of whole commit entries after `from`, wherever they start. */
function findCommits(bytes: Buffer, from: number): number[] {
  const found: number[] = []
  for (let at = bytes.indexOf(MAGIC, from + 1); at !== -1; at = bytes.indexOf(MAGIC, at + 1)) {
    if (decodeEntry(bytes, at)?.type === EntryType.Commit) found.push(at)
  }
  return found
}

/** A new shard's catalogue: the entries of its streams, the journal at its beginning. */
export function createCatalogue(
  disk: Disk,
  shard: number,
  entries: readonly Buffer[],
  commit: Omit<CommitEntry, 'entries'>,
): void {
  const end = encodeCommitEntry({ ...commit, entries: entries.length })
  replaceFile(disk, cataloguePath(shard), Buffer.concat([...entries, end]))
}

/** The entries that hold, as they lie in the file. */
export function readEntries(disk: Disk, shard: number): { name: string; bytes: Buffer }[] {
  const file = readWhole(disk, cataloguePath(shard))
  const content = parseCatalogue(file)
  assert('live' in content, 'a catalogue that was just written checks')
  return content.live.map(({ stream, at, end }) => ({
    name: stream.name,
    bytes: file.subarray(at, end),
  }))
}

export function readCatalogue(disk: Disk, shard: number): CatalogueContent | CatalogueDamage {
  return parseCatalogue(readWhole(disk, cataloguePath(shard)))
}

/**
 * Appends a checkpoint's entries, its commit last. Durable when it ends; then the checkpoint holds.
 * The directory is synced too: the file may have taken its place not long ago.
 */
export function* appendToCatalogue(
  disk: Disk,
  shard: number,
  position: number,
  entries: Buffer,
): Steps<void> {
  const path = cataloguePath(shard)
  const file = disk.open(path, 'update')
  try {
    if (disk.size(file) > position) disk.truncate(file, position)
    writeFully(disk, file, entries, position)
    yield { files: [file], directories: [parentPath(path)] }
  } finally {
    disk.close(file)
  }
}

/**
 * Makes durable again what recovery goes by, as it may be known from the page cache alone
 * (faults.md, rule 9), and cuts the unfinished checkpoint behind it. The bytes are written over
 * themselves: a crash on the way leaves each sector as it was, so a commit that was durable stays.
 */
export function settleCatalogue(disk: Disk, shard: number, content: CatalogueContent): void {
  const { lastCheckpointAt, bytes } = content
  withFile(disk, cataloguePath(shard), 'update', file => {
    const last = readFully(disk, file, lastCheckpointAt, bytes - lastCheckpointAt)
    writeFully(disk, file, last, lastCheckpointAt)
    if (disk.size(file) > bytes) disk.truncate(file, bytes)
    disk.sync(file)
  })
}

/** The length of a catalogue, and why it is not shorter, if that failed. */
export type Compacted = { readonly bytes: number; readonly notes: readonly string[] }

/**
 * Rewrites the catalogue with only what holds, once more than half of it does not. The cost is paid
 * for by the entries appended since the last time. Whatever fails but a sync leaves one of the two
 * files in place, whole: the commit holds already.
 */
export function* compactCatalogue(
  disk: Disk,
  shard: number,
  bytes: number,
  streams: number,
): Steps<Compacted> {
  const liveGuess = streams * 256
  if (bytes < COMPACT_FROM_BYTES || bytes < 2 * liveGuess) return { bytes, notes: [] }
  const path = cataloguePath(shard)
  let length = bytes
  try {
    const compacted = compact(readWhole(disk, path))
    // A damaged one is left for the next start to name; what is appended behind it holds.
    if (compacted === undefined || 2 * compacted.length > bytes) return { bytes, notes: [] }
    const file = disk.open(`${path}.tmp`, 'create')
    try {
      writeFully(disk, file, compacted, 0)
      yield { files: [file], directories: [] }
    } finally {
      disk.close(file)
    }
    disk.rename(`${path}.tmp`, path)
    length = compacted.length
    // A crash may bring the old file back until then; appends to the new one wait for it too.
    yield { files: [], directories: [parentPath(path)] }
    return { bytes: length, notes: [] }
  } catch (error) {
    if (!(error instanceof DiskError) || error.isSync) throw error
    return { bytes: length, notes: [`the catalogue was not compacted: ${error.message}`] }
  }
}

function compact(file: Buffer): Buffer | undefined {
  const content = parseCatalogue(file)
  if (!('live' in content)) return undefined
  const { decisions, removed } = content
  const entries = content.live.map(({ at, end }) => file.subarray(at, end))
  const last = [...removed.map(encodeRemovedEntry), ...decisions.map(encodeDecisionEntry)]
  const kept = entries.concat(last)
  const commit = encodeCommitEntry({ ...content.commit, entries: kept.length })
  return Buffer.concat([...kept, commit])
}
