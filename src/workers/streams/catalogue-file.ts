import {
  type CatalogueEntry,
  type CommitEntry,
  decodeEntry,
  EntryType,
  encodeCommitEntry,
  encodeDecisionEntry,
  encodeRemovedEntry,
  ENTRY_HEADER_BYTES,
  type EntryPlace,
  placeEntries,
  STREAM_ENTRY_LAYOUT,
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
  /** What every entry of the file bears, latin1. */
  readonly salt: string
}

/** Bytes in which no entry is sound. */
export type DamagedBytes = {
  readonly at: number
  readonly to: number
  /** Of the stream (latin1) whose entry it was, where a known id lies where that has its id. */
  readonly streamId: string | undefined
}

/** The bytes of a catalogue that cannot be vouched for. */
export type CatalogueDamage = {
  readonly damagedAt: number
  readonly damagedTo: number
  /** All of them, in order; the first is the one above. */
  readonly damaged: readonly DamagedBytes[]
  /**
   * What the entries around them say; undefined where no commit is sound. An entry before the
   * damage may not be its stream's last one, and a stream that is in none may have been.
   */
  readonly salvaged: CatalogueContent | undefined
}

const COMPACT_FROM_BYTES = MIB
const MAGIC = Buffer.from('VCAT')
const STREAM_ID_AT = ENTRY_HEADER_BYTES + STREAM_ENTRY_LAYOUT.streamId[0]

/**
 * Reads a catalogue up to its last commit. What follows that is an unfinished checkpoint; bytes
 * that do not check with later checkpoints after them are damage.
 */
export function parseCatalogue(bytes: Buffer): CatalogueContent | CatalogueDamage {
  const reading = new CatalogueReading(bytes)
  const { damaged, content } = reading
  const [first] = damaged
  if (first === undefined && content !== undefined) return content
  const { at: damagedAt, to: damagedTo } = first ?? { at: 0, to: bytes.length }
  return { damagedAt, damagedTo, damaged, salvaged: content }
}

type Range = readonly [at: number, to: number]

/** What a commit said, with the bytes of its checkpoint in which no entry is sound. */
type Group = Omit<CatalogueContent, 'live' | 'salt'> & { readonly gaps: readonly Range[] }

/** One walk through a catalogue's entries, past those that do not check. */
class CatalogueReading {
  readonly #bytes: Buffer
  readonly #salt: string
  readonly #live = new Map<string, LiveEntry>()
  /** Since the last commit. */
  #entries: Uncommitted[] = []
  #gaps: Range[] = []
  #end = 0
  /** The last one that holds. */
  #held: Group | undefined
  /** One behind it that perhaps was never finished, and the entries without it. */
  #doubtful: { readonly group: Group; readonly live: readonly LiveEntry[] } | undefined
  readonly #ranges: Range[] = []

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.#salt = saltOf(bytes)
    this.#walk()
  }

  get damaged(): readonly DamagedBytes[] {
    return this.#ranges.map(([at, to]) => ({ at, to, streamId: this.#streamIn(at, to) }))
  }

  get content(): CatalogueContent | undefined {
    if (this.#held === undefined) return undefined
    const { gaps: _, ...held } = this.#held
    return { ...held, live: this.#doubtful?.live ?? [...this.#live.values()], salt: this.#salt }
  }

  #walk(): void {
    for (let at = 0; at < this.#bytes.length; ) {
      const entry = entryAt(this.#bytes, at, this.#salt)
      const to = entry?.end ?? nextEntry(this.#bytes, at, this.#salt)
      if (entry === undefined) this.#gaps.push([at, to])
      else if (entry.type === EntryType.Stream) {
        this.#entries.push({ stream: entry.stream, at, end: to })
      } else if (entry.type === EntryType.Commit) this.#take(entry.commit, to)
      else this.#entries.push(entry)
      at = to
    }
  }

  /**
   * A commit makes its entries hold. Behind bytes that do not check it may be the commit of the
   * unfinished checkpoint that these are of, whose sectors reach the disk in any order. The next
   * commit was written after this one was synced, and tells that it is not. The first checkpoint of
   * a file was synced before the file took its place.
   */
  #take(commit: CommitEntry, end: number): void {
    if (this.#doubtful !== undefined) this.#hold(this.#doubtful.group)
    const isCounted = commit.entries === this.#entries.length
    const gaps = this.#gaps.length > 0 || isCounted ? this.#gaps : [[this.#end, end] as const]
    const before = gaps.length > 0 ? [...this.#live.values()] : []
    const settled = apply(this.#entries, this.#live)
    const group = { commit, ...settled, bytes: end, lastCheckpointAt: this.#end, gaps }
    if (gaps.length === 0 || this.#held === undefined) this.#hold(group)
    else this.#doubtful = { group, live: before }
    this.#entries = []
    this.#gaps = []
    this.#end = end
  }

  #hold(group: Group): void {
    this.#held = group
    this.#doubtful = undefined
    this.#ranges.push(...group.gaps)
  }

  /** The stream whose entry lay there, if the bytes where its id was are an id that is known. */
  #streamIn(at: number, to: number): string | undefined {
    if (to - at < STREAM_ID_AT + 16) return undefined
    const id = this.#bytes.latin1Slice(at + STREAM_ID_AT, at + STREAM_ID_AT + 16)
    return this.#live.has(id) ? id : undefined
  }
}

/** The entry at `at`, if it is sound and belongs there. */
function entryAt(bytes: Buffer, at: number, salt: string): CatalogueEntry | undefined {
  const entry = decodeEntry(bytes, at)
  return entry?.place.position === at && entry.place.salt === salt ? entry : undefined
}

/** Where the next entry starts that is sound and belongs there, after `from`; or the end. */
function nextEntry(bytes: Buffer, from: number, salt: string): number {
  for (let at = bytes.indexOf(MAGIC, from + 1); at !== -1; at = bytes.indexOf(MAGIC, at + 1)) {
    if (entryAt(bytes, at, salt) !== undefined) return at
  }
  return bytes.length
}

/**
 * The salt of a catalogue: that of its first entry, which is never a client's bytes. Where that is
 * damaged, of all entries that lie at their position the one that most bytes bear.
 */
function saltOf(bytes: Buffer): string {
  const sizes = new Map<string, number>()
  for (let at = bytes.indexOf(MAGIC); at !== -1; ) {
    const entry = decodeEntry(bytes, at)
    const isThere = entry?.place.position === at
    if (isThere && at === 0) return entry.place.salt
    if (isThere) {
      const { salt } = entry.place
      sizes.set(salt, (sizes.get(salt) ?? 0) + entry.end - at)
    }
    at = bytes.indexOf(MAGIC, isThere ? entry.end : at + 1)
  }
  const [largest] = [...sizes].sort(([, left], [, right]) => right - left)
  return largest?.[0] ?? ''
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

/**
 * Writes a new shard's catalogue: the entries of its streams, the journal at its beginning.
 * @param salt random, CATALOGUE_SALT_BYTES as latin1
 */
export function createCatalogue(
  disk: Disk,
  shard: number,
  entries: readonly Buffer[],
  commit: Omit<CommitEntry, 'entries'>,
  salt: string,
): void {
  const end = encodeCommitEntry({ ...commit, entries: entries.length })
  const content = placeEntries([...entries, end], { salt, position: 0 })
  replaceFile(disk, cataloguePath(shard), content)
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
 * The directory is synced too: the file may have taken its place not long ago. Returns its length.
 */
export function* appendToCatalogue(
  disk: Disk,
  shard: number,
  place: EntryPlace,
  entries: readonly Buffer[],
): Steps<number> {
  const path = cataloguePath(shard)
  const file = disk.open(path, 'update')
  try {
    const { position } = place
    const addition = placeEntries(entries, place)
    if (disk.size(file) > position) disk.truncate(file, position)
    writeFully(disk, file, addition, position)
    yield { files: [file], directories: [parentPath(path)] }
    return position + addition.length
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
  return placeEntries([...kept, commit], { salt: content.salt, position: 0 })
}
