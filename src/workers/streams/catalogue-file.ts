import {
  type CatalogueEntry,
  decodeEntry,
  EntryType,
  encodeCommitEntry,
  encodeDecisionEntry,
  encodeRemovedEntry,
  encodeWitnessEntry,
  ENTRY_HEADER_BYTES,
  placeEntries,
  STREAM_ENTRY_LAYOUT,
  type StreamEntry,
} from '../../shared/format/catalogue.ts'
import type { CommitEntry } from '../../shared/format/commit-entry.ts'
import type { Witness } from '../../shared/format/frame.ts'

/** The last entry of a stream that exists, and its place in the file. */
export type LiveEntry = { readonly stream: StreamEntry; readonly at: number; readonly end: number }

/** The catalogue as its last commit left it. */
export type CatalogueContent = {
  readonly live: readonly LiveEntry[]
  readonly commit: CommitEntry
  /** Transactions committed by this shard that another may still ask about. */
  readonly decisions: readonly number[]
  /** How far other shards' journals were durable, by transactions. */
  readonly witnesses: readonly Witness[]
  /** Ids (latin1) of the streams that the last write-back removed: a crash may have left files. */
  readonly removed: readonly string[]
  /** Bytes up to the end of the last commit. */
  readonly bytes: number
  /** Where the last write-back's entries start: they may be in the page cache alone. */
  readonly lastCheckpointAt: number
  /** Salt (latin1) of every entry of the file. */
  readonly salt: string
}

/** Bytes in which no entry is sound. */
type DamagedBytes = {
  readonly at: number
  readonly to: number
  /** Id (latin1) of the stream whose entry it was, if a known id is at the id's place. */
  readonly streamId: string | undefined
}

/** The damaged bytes of a catalogue, and the content that is left. */
export type CatalogueDamage = {
  readonly damagedAt: number
  readonly damagedTo: number
  /** All damaged ranges, in order; the first is `damagedAt` to `damagedTo`. */
  readonly damaged: readonly DamagedBytes[]
  /**
   * The content of the sound entries; undefined if no commit is sound. The damage may hide newer
   * entries of these streams, and entries of other streams.
   */
  readonly salvaged: CatalogueContent | undefined
}

const MAGIC = Buffer.from('VCAT')
const STREAM_ID_AT = ENTRY_HEADER_BYTES + STREAM_ENTRY_LAYOUT.streamId[0]

/**
 * Reads a catalogue up to its last commit. Bytes after that are an unfinished write-back. Bytes
 * that do not check are damage if a commit follows them. The commits of another shard's catalogue
 * do not check, so another shard's file in this place counts as damaged as a whole.
 */
export function parseCatalogue(bytes: Buffer, shard: number): CatalogueContent | CatalogueDamage {
  const reading = new CatalogueReading(bytes, shard)
  const { damaged, content } = reading
  const [first] = damaged
  if (first === undefined && content !== undefined) return content
  const { at: damagedAt, to: damagedTo } = first ?? { at: 0, to: bytes.length }
  return { damagedAt, damagedTo, damaged, salvaged: content }
}

type Range = readonly [at: number, to: number]

/** The content as of one commit, with the byte ranges of its group that hold no sound entry. */
type Group = Omit<CatalogueContent, 'live' | 'salt'> & { readonly gaps: readonly Range[] }

/** Walks through a catalogue's entries, and skips damaged ones. */
class CatalogueReading {
  readonly #bytes: Buffer
  readonly #shard: number
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

  constructor(bytes: Buffer, shard: number) {
    this.#bytes = bytes
    this.#shard = shard
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
      const isForeign = entry?.type === EntryType.Commit && entry.commit.shard !== this.#shard
      if (entry === undefined || isForeign) this.#gaps.push([at, to])
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

type Settled = {
  readonly decisions: number[]
  readonly witnesses: Witness[]
  readonly removed: string[]
}

/** Returns the decisions, the witnesses and the removed streams among the entries. */
function apply(entries: readonly Uncommitted[], live: Map<string, LiveEntry>): Settled {
  const decisions: number[] = []
  const witnesses: Witness[] = []
  const removed: string[] = []
  for (const entry of entries) {
    if ('stream' in entry) live.set(entry.stream.streamId, entry)
    else if (entry.type === EntryType.Removed) {
      live.delete(entry.streamId)
      removed.push(entry.streamId)
    } else if (entry.type === EntryType.Decision) decisions.push(entry.transaction)
    else if (entry.type === EntryType.Witness) witnesses.push(entry.witness)
  }
  return { decisions, witnesses, removed }
}

/** The bytes of a catalogue with only what holds; undefined where it is damaged. */
export function compact(file: Buffer, shard: number): Buffer | undefined {
  const content = parseCatalogue(file, shard)
  if (!('live' in content)) return undefined
  const { decisions, witnesses, removed } = content
  const entries = content.live.map(({ at, end }) => file.subarray(at, end))
  const last = [
    ...removed.map(encodeRemovedEntry),
    ...decisions.map(encodeDecisionEntry),
    ...witnesses.map(encodeWitnessEntry),
  ]
  const kept = entries.concat(last)
  const commit = encodeCommitEntry({ ...content.commit, entries: kept.length })
  return placeEntries([...kept, commit], { salt: content.salt, position: 0 })
}
