import { assert } from '../../shared/assert.ts'
import { hexToLatin1, latin1ToHex } from '../../shared/format/bytes.ts'
import { NOTHING_UNWRITTEN, type StreamEntry } from '../../shared/format/catalogue.ts'
import type { CommitEntry } from '../../shared/format/commit-entry.ts'
import { GENESIS_HASH } from '../../shared/format/chain.ts'
import { decodeManifest, type Manifest } from '../../shared/format/manifest.ts'
import {
  manifestPath,
  streamIdInName,
  streamPath,
  STREAMS_PATH,
} from '../../shared/format/paths.ts'
import { viewRecord } from '../../shared/format/record.ts'
import { shardOf } from '../../shared/format/shard-of.ts'
import { isStreamIdOf } from '../../shared/format/stream-id.ts'
import { creationHashOf } from '../../shared/format/stream-state.ts'
import { isDirectory } from '../disk/aside.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { readIfReadable } from '../disk/files.ts'
import type { CatalogueDamage } from '../streams/catalogue-file.ts'
import { readConfig } from '../streams/stream-config.ts'
import { endWithUnwritten, goesOnUnwritten } from '../streams/unwritten-records.ts'
import type { Block } from './journal-walk.ts'
import {
  appendsBelow,
  type Create,
  type HeldAppends,
  HeldOperations,
  JournaledStreams,
} from './journaled-streams.ts'
import type { ShardContent } from './read-journal.ts'
import { findExtent, type StreamExtent } from './rebuilt-stream.ts'

// Rebuilds the content of a shard's catalogue when neither copy is whole. The sources are the sound
// entries of both copies, the manifests and segments of the streams, and the journal. They do not
// tell which deletes and trims were only in the catalogue, nor the producers of older appends. So a
// start serves the result as an incomplete shard, and a repair writes it and states the loss.

export type RebuiltCatalogue = {
  readonly content: ShardContent
  /** Returns a new tracker, for one replay, of the operations that the streams already hold. */
  held(): HeldOperations
  /** Ids (latin1) of the streams whose end the journal names. */
  readonly proved: ReadonlySet<string>
  /** Ids (latin1) of stream directories whose stream name cannot be determined. */
  readonly unnamed: readonly string[]
  /** Messages about directories that cannot be read. */
  readonly unreadable: readonly string[]
}

/**
 * @param blocks every readable block of the journal, in order
 * @throws DiskError if no file descriptor is left, or the journal's directory cannot be read
 */
export function rebuildCatalogue(
  disk: Disk,
  shard: number,
  shards: number,
  damage: CatalogueDamage,
  blocks: Iterable<Block>,
): RebuiltCatalogue {
  const journaled = new JournaledStreams()
  let first: Block | undefined
  for (const block of blocks) {
    first ??= block
    journaled.note(block)
  }
  const rebuild = new Rebuild(disk, journaled, damage)
  rebuild.run(name => shardOf(name, shards) === shard)
  const live = [...rebuild.entries.values()].map(stream => ({ stream }))
  const { salvaged } = damage
  const content: ShardContent = {
    live,
    commit: { ...startOf(first), entries: 0, shard, timestamp: 0, clockMicros: 0 },
    decisions: salvaged?.decisions ?? [],
    witnesses: salvaged?.witnesses ?? [],
    bytes: 0,
    salt: '',
  }
  const times = live.flatMap(({ stream }) => [stream.createdAt, stream.lastTimestamp])
  const known = salvaged?.commit.clockMicros ?? 0
  const clockMicros = times.reduce(
    (a, b) => Math.max(a, b),
    Math.max(known, journaled.lastTimestamp),
  )
  return {
    content: { ...content, commit: { ...content.commit, clockMicros } },
    held: () => new HeldOperations(rebuild.held, journaled.deleted),
    proved: rebuild.proved,
    unnamed: rebuild.unnamed,
    unreadable: rebuild.unreadable,
  }
}

/** Returns the commit fields that make a walk begin at the first readable block. */
function startOf(
  first: Block | undefined,
): Pick<CommitEntry, 'checkpointLsn' | 'journalFile' | 'blockNumber' | 'blockHash'> {
  if (first === undefined) {
    return { checkpointLsn: 0, journalFile: 0, blockNumber: 0, blockHash: GENESIS_HASH }
  }
  const { lsn: checkpointLsn, number, previousHash: blockHash } = first.header
  return { checkpointLsn, journalFile: first.file, blockNumber: number - 1, blockHash }
}

type EntryState = Pick<
  StreamEntry,
  'config' | 'createdAt' | 'closed' | 'firstOffset' | 'creationHash' | 'stateCheckpoint'
>

type IsOurs = (name: string) => boolean

class Rebuild {
  readonly #disk: Disk
  readonly #journaled: JournaledStreams
  /** Sound entries of the damaged catalogue, by id. */
  readonly #known: ReadonlyMap<string, StreamEntry>
  readonly entries = new Map<string, StreamEntry>()
  readonly held = new Map<string, HeldAppends>()
  readonly proved = new Set<string>()
  readonly unnamed: string[] = []
  readonly unreadable: string[] = []

  constructor(disk: Disk, journaled: JournaledStreams, { salvaged }: CatalogueDamage) {
    this.#disk = disk
    this.#journaled = journaled
    const live = salvaged?.live ?? []
    this.#known = new Map(live.map(({ stream }) => [stream.streamId, stream]))
  }

  run(isOurs: IsOurs): void {
    for (const prefix of this.#listed(STREAMS_PATH)) {
      for (const path of this.#listed(prefix)) {
        this.#attempt(() => this.#takeDirectory(path, isOurs))
      }
    }
    for (const entry of this.#known.values()) {
      const isKnown = this.entries.has(entry.streamId)
      if (!isKnown && !this.#journaled.deleted.has(entry.streamId)) this.#takeEntry(entry)
    }
  }

  #takeDirectory(path: string, isOurs: IsOurs): void {
    const name = path.slice(path.lastIndexOf('/') + 1)
    const streamId = streamIdInName(name)
    if (streamId === undefined || !isDirectory(this.#disk, path)) return
    if (this.#journaled.deleted.has(streamId)) return
    const manifest = readManifest(this.#disk, path, streamId)
    const stream = manifest?.stream ?? this.#nameOf(streamId)
    if (stream === undefined) this.unnamed.push(streamId)
    else if (isOurs(stream) && path === streamPath(stream, streamId)) {
      this.#takeStream(path, stream, streamId, manifest)
    }
  }

  /** Returns the name of a stream without a manifest, from the catalogue or the journal. */
  #nameOf(streamId: string): string | undefined {
    const known = this.#known.get(streamId)
    const created = this.#journaled.createOf(streamId)
    const found = known ?? (created && { ...created, creationHash: creationHash(created) })
    const isBound = found && isStreamIdOf(streamId, found.creationHash, found.name)
    return isBound === true ? found?.name : undefined
  }

  #takeStream(
    directory: string,
    name: string,
    streamId: string,
    manifest: Manifest | undefined,
  ): void {
    const known = this.#known.get(streamId)
    const journaled = this.#journaled.appendsTo(streamId)
    const extent = findExtent(this.#disk, directory, streamId, manifest, journaled)
    if (known !== undefined && goesFurther(known, extent)) return this.#takeEntry(known)
    if (extent === undefined) return
    const { appends, isProved, ...stored } = extent
    if (isProved) this.proved.add(streamId)
    this.held.set(streamId, { appends, producersKnownBelow: known?.nextOffset ?? 0 })
    const state = this.#stateOf(streamId, manifest)
    const changedAt = viewRecord(Buffer.from(state.stateCheckpoint, 'latin1'), 0)?.timestamp ?? 0
    this.entries.set(streamId, {
      name,
      streamId,
      unwritten: NOTHING_UNWRITTEN,
      ...stored,
      // The change may have ended a segment: a manifest has only the times of data records.
      lastTimestamp: Math.max(stored.lastTimestamp, changedAt),
      ...state,
      producers: known?.producers ?? [],
    })
  }

  /**
   * Returns a stream's state from the first source that has it: manifest, catalogue, journal. A
   * catalogue entry with a later signed state goes before the manifest, which was not written then.
   */
  #stateOf(streamId: string, manifest: Manifest | undefined): EntryState {
    const known = this.#known.get(streamId)
    if (manifest !== undefined && !(known !== undefined && signsLater(known, manifest))) {
      const { createdAt, closed, firstOffset } = manifest
      return {
        config: JSON.stringify(manifest.config),
        createdAt,
        closed,
        firstOffset,
        creationHash: hexToLatin1(manifest.creationHash),
        stateCheckpoint: hexToLatin1(manifest.stateCheckpoint),
      }
    }
    if (known !== undefined) {
      const { config, createdAt, closed, firstOffset } = known
      const { creationHash: created, stateCheckpoint } = known
      return { config, createdAt, closed, firstOffset, creationHash: created, stateCheckpoint }
    }
    const created = this.#journaled.createOf(streamId)
    assert(created !== undefined, 'the name came from the manifest, the catalogue or the journal')
    const { config, createdAt } = created
    const asCreated = { closed: false, firstOffset: 0, stateCheckpoint: '' }
    return { config, createdAt, creationHash: creationHash(created), ...asCreated }
  }

  /** Returns the paths in a directory; none if it is missing or not a directory. */
  #listed(directory: string): string[] {
    let paths: string[] = []
    this.#attempt(() => {
      if (!isDirectory(this.#disk, directory)) return
      paths = this.#disk.list(directory).map(name => `${directory}/${name}`)
    })
    return paths
  }

  /** Records what the disk cannot read, so that the other streams are still rebuilt. */
  #attempt(act: () => void): void {
    try {
      act()
    } catch (error) {
      if (!(error instanceof DiskError) || error.isForSpace) throw error
      this.unreadable.push(error.message)
    }
  }

  #takeEntry(entry: StreamEntry): void {
    const { streamId } = entry
    const { nextOffset, chainHead } = endWithUnwritten(entry)
    const journaled = this.#journaled.appendsTo(streamId)
    const appends = journaled?.chain.get(chainHead) ?? appendsBelow(journaled, nextOffset)
    this.entries.set(streamId, entry)
    this.held.set(streamId, { appends, producersKnownBelow: nextOffset })
  }
}

/**
 * Returns whether an entry reaches further than the segments, because records at their end are lost
 * or unwritten. Unwritten checkpoints count too, although they take no offset.
 */
function goesFurther(known: StreamEntry, extent: StreamExtent | undefined): boolean {
  const { nextOffset, chainHead } = extent ?? { nextOffset: 0, chainHead: GENESIS_HASH }
  return endWithUnwritten(known).nextOffset > nextOffset || goesOnUnwritten(known, chainHead)
}

/** Returns whether an entry has a later state of its stream than the manifest. */
function signsLater(entry: StreamEntry, manifest: Manifest): boolean {
  const [left, right] = [entry.stateCheckpoint, hexToLatin1(manifest.stateCheckpoint)].map(stored =>
    viewRecord(Buffer.from(stored, 'latin1'), 0),
  )
  if (left === undefined || left.offset !== right?.offset) {
    return (left?.offset ?? -1) > (right?.offset ?? -1)
  }
  return left.timestamp > right.timestamp
}

function creationHash({ createdAt, config }: Create): string {
  return creationHashOf(createdAt, readConfig(config))
}

function readManifest(disk: Disk, directory: string, streamId: string): Manifest | undefined {
  const bytes = readIfReadable(disk, manifestPath(directory))
  const manifest = bytes && decodeManifest(bytes)
  return manifest?.streamId === latin1ToHex(streamId) ? manifest : undefined
}
