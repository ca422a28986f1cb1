import { StoreError } from '../../shared/errors.ts'
import { GENESIS_HASH } from '../../shared/format/chain.ts'
import type { StreamEntry } from '../../shared/format/catalogue.ts'
import { findLostEnds, type JournalEnds } from '../../shared/format/journal-ends.ts'
import {
  cataloguePath,
  journalPath,
  LOSSES_PATH,
  shardPath,
  streamPath,
} from '../../shared/format/paths.ts'
import { MIB } from '../../shared/limits.ts'
import type { Finding, InspectionMessage, Loss } from '../../shared/protocol/inspection.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { readIfReadable, readWhole, withFile } from '../disk/files.ts'
import { listJournalFiles } from '../journal/journal-files.ts'
import { readCatalogue, staleCopies, type StoredCatalogue } from '../streams/catalogue-copies.ts'
import type { CatalogueContent, LiveEntry } from '../streams/catalogue-file.ts'
import { claimOf, hashFault, signatureFault } from '../streams/stream-binding.ts'
import { type Counts, Draft, noCounts } from './draft.ts'
import { findShards } from './header-check.ts'
import type { Trust } from './chain-check.ts'
import { JournalCheck } from './journal-check.ts'
import { checkKeys } from './key-check.ts'
import type { KeptHeads } from './kept-heads.ts'
import { describeLoss, isOfLoss, readLosses } from '../repair/losses.ts'
import { noteStrangers } from './strangers.ts'
import type { StoredAppend } from './stored-appends.ts'
import { StreamCheck } from './stream-check.ts'
import { isJson } from './text.ts'

// Checks everything in a data directory from its files alone, and writes nothing. A server may run
// on it meanwhile: a part that does not check is read again once it has moved on. What a server is
// just writing may show as a note.

/** Times that a part is read at most, because a server may change it meanwhile. */
const ATTEMPTS = 3
/** Bytes between two messages of progress. */
const PROGRESS_BYTES = 4 * MIB

/**
 * Runs a whole verification.
 * @throws StoreError invalid_request when the directory is none of ours, or of a newer format
 */
export function verifyDirectory(
  disk: Disk,
  heads: KeptHeads,
  post: (message: InspectionMessage) => void,
): void {
  const shards = findShards(disk)
  if ('refused' in shards) throw new StoreError('invalid_request', shards.refused)
  new Verification(disk, heads, post).run(shards.count, shards.findings)
}

class Verification {
  readonly #disk: Disk
  readonly #heads: KeptHeads
  readonly #post: (message: InspectionMessage) => void
  readonly #counts: Counts = noCounts()
  readonly #directories = new Set<string>()
  #trust: Trust
  #losses: readonly Loss[] = []
  readonly #journals: (JournalEnds | undefined)[] = []
  #damages = 0
  #doneBytes = 0
  #totalBytes = 0
  #saidBytes = 0
  #what = ''

  constructor(disk: Disk, heads: KeptHeads, post: (message: InspectionMessage) => void) {
    this.#disk = disk
    this.#heads = heads
    this.#trust = { keys: new Map(), heads }
    this.#post = post
  }

  run(shards: number, findings: readonly Finding[]): void {
    this.#part(() => this.#noteLosses())
    this.#say(findings)
    for (let shard = 0; shard < shards; shard += 1) this.#totalBytes += this.#sizeOf(shard)
    this.#part(draft => {
      this.#trust = { keys: checkKeys(this.#disk, draft), heads: this.#heads }
    })
    for (let shard = 0; shard < shards; shard += 1) this.#verifyShard(shard)
    this.#part(draft => {
      for (const [shard, reason] of findLostEnds([...this.#journals])) {
        draft.damage({ file: shardPath(shard), reason })
      }
    })
    this.#part(draft => noteStrangers(this.#disk, shards, this.#directories, draft))
    this.#say([...this.#heads.findings(this.#trust.keys)])
    this.#counts.heads = this.#heads.count
    this.#post({
      kind: 'report',
      ok: this.#damages === 0,
      ...this.#counts,
      shards,
      findings: this.#damages,
    })
  }

  /** About how many bytes there are to read. */
  #sizeOf(shard: number): number {
    try {
      const catalogue = readCatalogue(this.#disk, shard)
      const live = 'live' in catalogue ? catalogue.live : []
      const records = live.reduce((sum, { stream }) => sum + (stream.recordBytes || 0), 0)
      return records + this.#journalBytes(shard)
    } catch (error) {
      if (error instanceof DiskError) return 0 // named when its turn comes
      throw error
    }
  }

  #journalBytes(shard: number): number {
    return listJournalFiles(this.#disk, shard)
      .map(number =>
        withFile(this.#disk, journalPath(shard, number), 'read', file => this.#disk.size(file)),
      )
      .reduce((sum, size) => sum + size, 0)
  }

  #verifyShard(shard: number): void {
    this.#what = `journal of shard ${shard}`
    const catalogue = this.#checkCatalogue(shard)
    if (catalogue === undefined) return
    // The journal first: it tells which streams are deleted, whose files may be gone already.
    const { deleted, stored, endLsn, witnesses } = this.#checkJournal(shard)
    if (endLsn !== undefined) this.#journals[shard] = { endLsn, witnesses }
    for (const { stream } of catalogue.live) {
      this.#what = stream.name
      if (!deleted.has(stream.streamId)) this.#heads.noteStream(stream.name, stream.streamId)
      this.#directories.add(streamPath(stream.name, stream.streamId))
      if (deleted.has(stream.streamId)) continue
      this.#checkStream(shard, stream, stored.get(stream.streamId) ?? [])
    }
  }

  #checkCatalogue(shard: number): CatalogueContent | undefined {
    let content: CatalogueContent | undefined
    this.#part(draft => {
      const file = cataloguePath(shard)
      const found = readCatalogue(this.#disk, shard)
      if (!('live' in found)) {
        const bytes = [found.damagedAt, found.damagedTo] as const
        const reason = 'the catalogue does not check; streams of the shard are not checked'
        return draft.damage({ file, bytes, reason })
      }
      const size = withFile(this.#disk, found.path, 'read', open => this.#disk.size(open))
      if (found.mended === undefined && size > found.bytes) {
        const reason = 'behind the last whole journal checkpoint: one without a commit'
        draft.note({ file: found.path, bytes: [found.bytes, size], reason })
      }
      for (const stale of staleCopies(found)) this.#noteStale(found, stale, draft)
      const live = found.live.filter(entry => checkEntry(entry, file, this.#trust, draft))
      content = { ...found, live }
    })
    return content
  }

  /** The next start makes both copies the same. */
  #noteStale({ path, bytes, mended }: StoredCatalogue, stale: string, draft: Draft): void {
    const sound = mended?.subarray(0, bytes) ?? readWhole(this.#disk, path)
    const other = readIfReadable(this.#disk, stale) ?? Buffer.alloc(0)
    const at = sound.findIndex((byte, index) => byte !== other[index])
    const from = at === -1 ? sound.length : at
    const source = mended === undefined ? path : 'what the other copy has in its place'
    const reason = `damaged, missing or behind; the next start rewrites it from ${source}`
    draft.note({ file: stale, bytes: [from, Math.max(from, other.length)], reason })
  }

  /** What the journal deletes, and what it knows of segments. */
  #checkJournal(shard: number): Pick<JournalCheck, 'deleted' | 'stored' | 'endLsn' | 'witnesses'> {
    let check: JournalCheck | undefined
    this.#part(
      draft => {
        const catalogue = readCatalogue(this.#disk, shard)
        if (!('live' in catalogue)) return
        check = new JournalCheck(this.#disk, shard, catalogue, this.#trust, draft)
        check.run()
        this.#advance(this.#journalBytes(shard))
      },
      () => true,
    )
    return check ?? { deleted: new Set(), stored: new Map(), endLsn: undefined, witnesses: [] }
  }

  #checkStream(shard: number, stream: StreamEntry, stored: readonly StoredAppend[]): void {
    let current: StreamEntry | undefined = stream
    this.#part(
      draft => {
        if (current === undefined) return
        new StreamCheck(this.#disk, current, stored, this.#trust, draft).run()
      },
      () => {
        const before = current
        current = this.#entryNow(shard, stream.streamId)
        return current?.nextOffset !== before?.nextOffset
      },
    )
  }

  #entryNow(shard: number, streamId: string): StreamEntry | undefined {
    const catalogue = readCatalogue(this.#disk, shard)
    const live = 'live' in catalogue ? catalogue.live : []
    return live.find(entry => entry.stream.streamId === streamId)?.stream
  }

  /** Checks one part; again when it is damaged and `mayDiffer` now. */
  #part(check: (draft: Draft) => void, mayDiffer: () => boolean = () => false): void {
    for (let attempt = 1; ; attempt += 1) {
      const draft = new Draft(
        findings => this.#say(findings),
        bytes => this.#advance(bytes),
      )
      guarded(draft, () => check(draft))
      const isFinal = !draft.isDamaged || draft.isSpilled || attempt === ATTEMPTS
      if (!isFinal && mayDiffer()) continue
      draft.finish()
      for (const count of Object.keys(draft.counts) as (keyof Counts)[]) {
        this.#counts[count] += draft.counts[count]
      }
      return
    }
  }

  /** What a repair has given up is known, and stated once more. */
  #noteLosses(): void {
    const losses = readLosses(this.#disk)
    if (losses === undefined) {
      const reason = 'it does not check: what repairs have given up is not known'
      return this.#say([{ file: LOSSES_PATH, reason, severity: 'damage' }])
    }
    this.#losses = losses
    for (const loss of losses) this.#say([describeLoss(loss)])
  }

  #say(findings: readonly Finding[]): void {
    for (const found of findings) {
      const isStated = this.#losses.some(loss => isOfLoss(loss, found))
      const finding = isStated ? { ...found, severity: 'note' as const } : found
      if (finding.severity === 'damage') this.#damages += 1
      this.#post({ kind: 'finding', ...finding })
    }
  }

  #advance(bytes: number): void {
    this.#doneBytes = Math.min(this.#totalBytes, this.#doneBytes + bytes)
    if (this.#doneBytes - this.#saidBytes < PROGRESS_BYTES) return
    this.#saidBytes = this.#doneBytes
    const [doneBytes, totalBytes] = [this.#doneBytes, this.#totalBytes]
    this.#post({ kind: 'progress', doneBytes, totalBytes, what: this.#what })
  }
}

/** A part that cannot be read is damage. */
function guarded(draft: Draft, check: () => void): void {
  try {
    check()
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    draft.damage({ file: error.path, reason: `it cannot be read: ${error.code}` })
  }
}

/** Whether an entry makes sense; the checksum says only that it is what was written. */
function checkEntry(
  { stream, at, end }: LiveEntry,
  file: string,
  { keys }: Trust,
  draft: Draft,
): boolean {
  const { nextOffset, segmentFirstOffset, firstOffset, trimPoint, name } = stream
  const isSound =
    nextOffset >= segmentFirstOffset &&
    (nextOffset >= firstOffset || stream.unwritten.length > 0) &&
    segmentFirstOffset >= trimPoint.offset &&
    firstOffset >= trimPoint.offset &&
    stream.segment >= stream.firstSegment &&
    // What begins at offset 0 has nothing before it, whatever an entry says.
    (trimPoint.offset > 0 || trimPoint.hash === GENESIS_HASH) &&
    name !== ''
  if (!isSound) draft.damage({ file, bytes: [at, end], reason: 'an entry makes no sense' })
  const fault = isSound ? claimFault(stream, keys) : undefined
  if (fault !== undefined) draft.damage({ file, bytes: [at, end], stream: name, reason: fault })
  return isSound
}

function claimFault(stream: StreamEntry, keys: Trust['keys']): string | undefined {
  if (!isJson(stream.config)) return 'its configuration is not JSON'
  return hashFault(claimOf(stream)) ?? signatureFault(stream, keys)
}
