import { assert } from '../../shared/assert.ts'
import { type EntryPlace, encodeCommitEntry, placeEntries } from '../../shared/format/catalogue.ts'
import type { CommitEntry } from '../../shared/format/commit-entry.ts'
import {
  catalogueCopyPath,
  cataloguePath,
  COPIES_PATH,
  parentPath,
} from '../../shared/format/paths.ts'
import { MIB } from '../../shared/limits.ts'
import { isMissing } from '../disk/aside.ts'
import type { CopyFaults } from '../disk/copy-faults.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import {
  makeDirectories,
  readFully,
  readIfReadable,
  readWhole,
  replaceFile,
  withFile,
  writeFully,
} from '../disk/files.ts'
import type { Steps } from '../disk/sync-steps.ts'
import {
  type CatalogueContent,
  type CatalogueDamage,
  compact,
  parseCatalogue,
} from './catalogue-file.ts'

// A catalogue has two copies, one in its shard's directory and one outside. Every write goes to
// both. If both are sound, the one with the later commit is read. If both are damaged at different
// places, each supplies what the other lacks.

const COMPACT_FROM_BYTES = MIB
const EMPTY = Buffer.alloc(0)

/**
 * Writes a new shard's catalogue: the entries of its streams, the journal at its beginning.
 * @param salt random, CATALOGUE_SALT_BYTES as latin1
 */
export function createCatalogue(
  disk: Disk,
  shard: number,
  entries: readonly Buffer[],
  commit: Omit<CommitEntry, 'entries' | 'shard'>,
  salt: string,
): void {
  const end = encodeCommitEntry({ ...commit, entries: entries.length, shard })
  const content = placeEntries([...entries, end], { salt, position: 0 })
  for (const path of cataloguePaths(shard)) replaceFile(disk, path, content)
}

/** A catalogue, read from the better of its two copies. */
export type StoredCatalogue = CatalogueContent & {
  /** The copy that was read. */
  readonly path: string
  /** The other copy, if it is damaged, missing or behind. */
  readonly stale: string | undefined
  /** The bytes of the catalogue, if both copies are damaged and only together whole. */
  readonly mended: Buffer | undefined
}

export type CatalogueRead = StoredCatalogue | CatalogueDamage

/** One way to read a catalogue. */
type Candidate = {
  readonly path: string
  readonly content: CatalogueContent | CatalogueDamage
  readonly mended: Buffer | undefined
}

/**
 * Reads both copies of a catalogue and returns the one with the later commit. Each write-back goes
 * to both, so one copy may be damaged, unreadable, lost or rolled back without harm.
 * @throws DiskError if no file descriptor is left
 */
export function readCatalogue(disk: Disk, shard: number): CatalogueRead {
  const [path, copyPath] = cataloguePaths(shard)
  const bytes = readIfReadable(disk, path) ?? EMPTY
  const copyBytes = readIfReadable(disk, copyPath) ?? EMPTY
  const content = parseCatalogue(bytes, shard)
  if (bytes.equals(copyBytes)) {
    return 'live' in content ? { ...content, path, stale: undefined, mended: undefined } : content
  }
  const copy = parseCatalogue(copyBytes, shard)
  const candidates: readonly Candidate[] = [
    { path, content, mended: undefined },
    { path: copyPath, content: copy, mended: undefined },
    ...mend({ path, bytes, content }, { bytes: copyBytes, content: copy }, shard),
    ...mend({ path: copyPath, bytes: copyBytes, content: copy }, { bytes, content }, shard),
  ]
  const best = candidates.reduce((first, next) => (isLater(next, first) ? next : first))
  if ('live' in best.content) {
    const stale = best.path === path ? copyPath : path
    return { ...best.content, path: best.path, stale, mended: best.mended }
  }
  return laterSalvage(content, copy as CatalogueDamage)
}

type Copy = { readonly bytes: Buffer; readonly content: Candidate['content'] }

/** Reads a damaged copy, with its damaged bytes replaced by those of the other copy. */
function mend(
  { path, bytes, content }: Copy & { readonly path: string },
  other: Copy,
  shard: number,
): Candidate[] {
  if ('live' in content || bytes.length === 0) return []
  if (!agree({ bytes, content }, other)) return []
  const mended = Buffer.from(bytes)
  for (const { at, to } of content.damaged) other.bytes.copy(mended, at, at, to)
  return [{ path, content: parseCatalogue(mended, shard), mended }]
}

/**
 * Returns whether two copies are equal where both are sound, up to the earlier of their last
 * commits. They differ if only one was compacted. An older entry could then fill a gap.
 */
function agree(copy: Copy, other: Copy): boolean {
  const ends = [copy, other].map(({ content }) =>
    'live' in content ? content.bytes : (content.salvaged?.bytes ?? 0),
  )
  const end = Math.min(...ends)
  const gaps = [copy, other].flatMap(({ content }) => ('live' in content ? [] : content.damaged))
  let at = 0
  for (const gap of gaps.toSorted((left, right) => left.at - right.at)) {
    if (!isSame(copy.bytes, other.bytes, at, Math.min(gap.at, end))) return false
    at = Math.max(at, gap.to)
  }
  return isSame(copy.bytes, other.bytes, at, end)
}

function isSame(bytes: Buffer, other: Buffer, from: number, to: number): boolean {
  return from >= to || bytes.compare(other, from, to, from, to) === 0
}

/** Returns whether `next` is sound and its commit is later than that of `first`. */
function isLater({ content: next }: Candidate, { content: first }: Candidate): boolean {
  if (!('live' in next)) return false
  return !('live' in first) || isLaterCommit(next.commit, first.commit)
}

function isLaterCommit(next: CommitEntry, first: CommitEntry): boolean {
  const { checkpointLsn, timestamp } = next
  const isSame = checkpointLsn === first.checkpointLsn
  return isSame ? timestamp > first.timestamp : checkpointLsn > first.checkpointLsn
}

/** Returns the damaged copy with the later readable commit. */
function laterSalvage(
  content: CatalogueContent | CatalogueDamage,
  copy: CatalogueDamage,
): CatalogueDamage {
  assert(!('live' in content), 'no copy is sound')
  const [first, next] = [content.salvaged?.commit, copy.salvaged?.commit]
  if (next === undefined) return content
  return first === undefined || isLaterCommit(next, first) ? copy : content
}

function cataloguePaths(shard: number): [path: string, copyPath: string] {
  return [cataloguePath(shard), catalogueCopyPath(shard)]
}

/** Returns the live stream entries with their bytes. */
export function readEntries(disk: Disk, shard: number): { name: string; bytes: Buffer }[] {
  const file = readWhole(disk, cataloguePath(shard))
  const content = parseCatalogue(file, shard)
  assert('live' in content, 'a catalogue that was just written checks')
  return content.live.map(({ stream, at, end }) => ({
    name: stream.name,
    bytes: file.subarray(at, end),
  }))
}

/**
 * Appends a write-back's entries to both copies, its commit last, and makes them durable. Syncs the
 * directories too, because a copy may have been renamed into place recently. If only the second
 * copy cannot be written, the write-back continues with the first. Returns a copy's new length.
 */
export function* appendToCatalogue(
  disk: Disk,
  shard: number,
  place: EntryPlace,
  entries: readonly Buffer[],
  faults: CopyFaults,
): Steps<number> {
  const [path, copyPath] = cataloguePaths(shard)
  const files: number[] = []
  const { position } = place
  const addition = placeEntries(entries, place)
  const write = (file: number) => {
    files.push(file)
    writeFully(disk, file, addition, position)
  }
  try {
    // A failed copy may differ from the first one, so nothing is taken from it.
    write(openAt(disk, path, position, faults.has(copyPath) ? undefined : copyPath))
    const [first] = files as [number]
    faults.noteUnsettled(copyPath)
    const isWritten = faults.attempt(copyPath, () => {
      if (faults.has(copyPath)) copyTo(disk, path, copyPath, position)
      write(openAt(disk, copyPath, position, path))
      return true
    })
    const alone = { files: [first], directories: [parentPath(path)] }
    if (isWritten !== true) yield alone
    else {
      const isDurable = yield* syncBoth(files, [path, copyPath], faults)
      if (isDurable) faults.noteWhole(copyPath)
      else yield alone
    }
    faults.noteSettled(copyPath) // the first copy has the commit now, so the second may have it too
    return position + addition.length
  } finally {
    for (const file of files) disk.close(file)
  }
}

/** Syncs both copies. Returns false if the directory of the second one cannot be opened. */
function* syncBoth(
  files: readonly number[],
  [path, copyPath]: readonly [string, string],
  faults: CopyFaults,
): Steps<boolean> {
  try {
    yield { files, directories: [parentPath(path), parentPath(copyPath)] }
    return true
  } catch (error) {
    if (!(error instanceof DiskError) || error.path !== parentPath(copyPath)) throw error
    faults.note(copyPath, error)
    return false
  }
}

/**
 * Cuts what an earlier try left after `position`, durably. A try that failed between the two copies
 * leaves a whole commit in one of them, and a start would believe it. So the commit is cut before
 * the segments that it names are written again.
 */
export function* cutUncommitted(
  disk: Disk,
  shard: number,
  position: number,
  faults: CopyFaults,
): Steps<void> {
  const [path, copyPath] = cataloguePaths(shard)
  const open: number[] = []
  const cut: number[] = []
  const cutFile = (target: string) => {
    const file = openIfThere(disk, target)
    if (file === undefined) return
    open.push(file)
    if (disk.size(file) <= position) return
    disk.truncate(file, position)
    cut.push(file)
  }
  try {
    cutFile(path)
    // A second copy without bytes of a failed try may stay as it is if it cannot be opened. A copy
    // that failed is made anew before its next write, and differs if the first one was compacted.
    if (faults.isUnsettled(copyPath)) cutFile(copyPath)
    else if (!faults.has(copyPath)) faults.attempt(copyPath, () => cutFile(copyPath))
    if (cut.length > 0) yield { files: cut, directories: [] }
    faults.noteSettled(copyPath)
  } finally {
    for (const file of open) disk.close(file)
  }
}

/** Opens a copy for writing at `position`. A shorter one is first made anew from the other copy. */
function openAt(disk: Disk, path: string, position: number, other: string | undefined): number {
  const known = openIfThere(disk, path)
  if (known !== undefined && disk.size(known) >= position) {
    if (disk.size(known) > position) disk.truncate(known, position)
    return known
  }
  if (known !== undefined) disk.close(known)
  if (other === undefined) throw new DiskError('EIO', 'read', path)
  copyTo(disk, other, path, position)
  return disk.open(path, 'update')
}

/** Makes a copy anew from the first `bytes` of the other one. @throws DiskError if it has fewer */
function copyTo(disk: Disk, path: string, target: string, bytes: number): void {
  const content = readWhole(disk, path)
  if (content.length < bytes) throw new DiskError('EIO', 'read', path)
  replaceFile(disk, target, content.subarray(0, bytes))
}

/** Opens a copy to write; undefined if it is missing, or something else is in its place. */
function openIfThere(disk: Disk, path: string): number | undefined {
  try {
    return disk.open(path, 'update')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/**
 * Makes the last commit durable again, because it may be in the page cache alone (faults.md, rule
 * 9), and cuts the unfinished write-back after it. The bytes are written over
 * themselves: a crash on the way leaves each sector as it was, so a commit that was durable stays.
 */
export function settleCatalogue(disk: Disk, content: StoredCatalogue): void {
  const { lastCheckpointAt, bytes, mended, path } = content
  if (mended !== undefined) return replaceFile(disk, path, mended.subarray(0, bytes))
  withFile(disk, path, 'update', file => {
    const last = readFully(disk, file, lastCheckpointAt, bytes - lastCheckpointAt)
    writeFully(disk, file, last, lastCheckpointAt)
    if (disk.size(file) > bytes) disk.truncate(file, bytes)
    disk.sync(file)
  })
}

/** Makes both copies of a settled catalogue equal, if the second one can be written. */
export function copyCatalogue(
  disk: Disk,
  { path, stale, bytes }: StoredCatalogue,
  faults: CopyFaults,
): void {
  if (stale === undefined) return
  const copy = () => {
    if (!disk.exists(COPIES_PATH)) makeDirectories(disk, COPIES_PATH)
    copyTo(disk, path, stale, bytes)
  }
  if (parentPath(stale) === COPIES_PATH) faults.attempt(stale, copy)
  else copy()
}

/** Returns the copies that the next start rewrites. */
export function staleCopies({ path, stale, mended }: StoredCatalogue): string[] {
  const other = stale === undefined ? [] : [stale]
  return mended === undefined ? other : [path, ...other]
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
  { streams, unwrittenBytes }: { readonly streams: number; readonly unwrittenBytes: number },
  faults: CopyFaults,
): Steps<Compacted> {
  const liveGuess = streams * 256 + unwrittenBytes
  if (bytes < COMPACT_FROM_BYTES || bytes < 2 * liveGuess) return { bytes, notes: [] }
  const [path, copyPath] = cataloguePaths(shard)
  // A crash between the renames leaves the copy that counts as it was. A second copy that cannot be
  // written does not keep the first one from being compacted, which would grow without bound.
  const paths = faults.has(copyPath) ? [path] : [copyPath, path]
  let length = bytes
  const files: number[] = []
  try {
    const compacted = compact(readWhole(disk, path), shard)
    // A damaged one is left for the next start to name; what is appended behind it holds.
    if (compacted === undefined || 2 * compacted.length > bytes) return { bytes, notes: [] }
    for (const target of paths) {
      const file = disk.open(`${target}.tmp`, 'create')
      files.push(file)
      writeFully(disk, file, compacted, 0)
    }
    yield { files, directories: [] }
    for (const target of paths) disk.rename(`${target}.tmp`, target)
    length = compacted.length
    // A crash may bring the old files back until then; appends to the new ones wait for it too.
    yield { files: [], directories: paths.map(parentPath) }
    return { bytes: length, notes: [] }
  } catch (error) {
    if (!(error instanceof DiskError) || error.isSync) throw error
    return { bytes: length, notes: [`the catalogue was not compacted: ${error.message}`] }
  } finally {
    for (const file of files) disk.close(file)
  }
}
