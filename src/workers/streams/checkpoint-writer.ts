import { assert } from '../../shared/assert.ts'
import { hexToLatin1, latin1ToHex } from '../../shared/format/bytes.ts'
import {
  decodeEntry,
  EntryType,
  encodeCommitEntry,
  encodeDecisionEntry,
  encodeRemovedEntry,
  encodeWitnessEntry,
  encodeStreamEntry,
  type StreamEntry,
  streamEntryBytesMax,
} from '../../shared/format/catalogue.ts'
import type { StoredTrimPoint } from '../../shared/format/checkpoint.ts'
import { encodeManifest, MANIFEST_FORMAT, type SegmentRange } from '../../shared/format/manifest.ts'
import { manifestPath, parentPath, streamPath } from '../../shared/format/paths.ts'
import { viewRecord } from '../../shared/format/record.ts'
import {
  type CheckpointDone,
  type CheckpointJob,
  EXTENT_NUMBERS,
  type ExtentNumbers,
  type Findings,
  type StoreJob,
  StreamFlag,
  type TrimmedStream,
} from '../../shared/protocol/checkpointer.ts'
import type { StreamDamage } from '../../shared/protocol/streams.ts'
import { isDirectory, setAside } from '../disk/aside.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { removeTree, writeFully } from '../disk/files.ts'
import { OpenFiles } from '../disk/open-files.ts'
import type { Steps } from '../disk/sync-steps.ts'
import { freeJournalFiles } from '../journal/journal-files.ts'
import { appendToCatalogue, compactCatalogue, cutUncommitted } from './catalogue-copies.ts'
import { rebuildSealed } from './manifest-rebuild.ts'
import { createFile, makeStreamDirectory } from './missing-files.ts'
import { Removal } from './removal.ts'
import { readSealed } from './sealed-segments.ts'
import { type LostRange, type SegmentTarget, SegmentWriter } from './segment-writer.ts'

// Carries out one write-back. Each step is durable before the next one begins:
//
//   1. write records to segments and new manifests to temporary files; sync them
//   2. rename the manifests into place; sync the directories
//   3. append the new extents and the commit to the catalogue; sync it. From here the write-back
//      holds
//   4. remove the files of deleted streams and the journal files below the new start
//   5. remove trimmed segments, in a later job, because reads planned before the commit may still
//      need them
//
// If an earlier try failed in step 3, its bytes are cut from the catalogue first.
//
// A crash before step 3 leaves two kinds of leftovers. Bytes past the extents of the last commit
// are overwritten when the journal is replayed. Manifests may already be the new ones, so a
// manifest keeps naming the segments that its own write-back trims: only the commit drops them.
//
// Damage to one stream's files stays with that stream. A missing segment is created again, a
// damaged manifest is rebuilt, an index that cannot be written is skipped. Only a call that fails
// for the records themselves fails the job, which is then sent again from the start. After step 3
// only a failed sync fails it.

/** A stream's new catalogue entry, and the bytes of the segments that were trimmed from it. */
type Stored = { readonly stored: StreamEntry; readonly freedBytes: number }

type StoredFrames = Pick<CheckpointJob, 'entries' | 'frames' | 'chunks'>

export class CheckpointWriter implements Findings {
  readonly #disk: Disk
  readonly #shard: number
  readonly #files: OpenFiles
  readonly #directories = new Set<string>()
  /** Final path of each manifest that is still a temporary file, with its stream's entry. */
  readonly #manifests = new Map<string, StreamEntry>()
  /** The stream being stored, and the offset of its first record that is not stored yet. */
  #current: { readonly entry: StreamEntry; readonly firstOffset: number } | undefined
  #target: SegmentTarget = 'records and index'
  readonly #trimmed: TrimmedStream[] = []
  readonly damage: StreamDamage[] = []
  readonly notes: string[] = []

  constructor(disk: Disk, shard: number) {
    this.#disk = disk
    this.#shard = shard
    this.#files = new OpenFiles(disk)
  }

  /**
   * Carries out the write-back and returns the new extents.
   * @throws DiskError: nothing is committed then, unless a sync failed
   */
  *run(job: CheckpointJob): Steps<CheckpointDone> {
    yield* cutUncommitted(this.#disk, this.#shard, job.catalogueBytes)
    const extents: number[] = []
    const trimPoints = new Map<number, StoredTrimPoint>()
    const entries: Buffer[] = job.removed.map(({ streamId }) => encodeRemovedEntry(streamId))
    for (const { stored, freedBytes } of yield* this.#storeAll(job)) {
      if (freedBytes > 0) trimPoints.set(extents.length / EXTENT_NUMBERS, stored.trimPoint)
      extents.push(...extentNumbers(stored, freedBytes))
      entries.push(encodeEntry(stored))
    }
    entries.push(...job.decisions.map(encodeDecisionEntry))
    entries.push(...job.witnesses.map(encodeWitnessEntry))
    assert(
      extents.length % EXTENT_NUMBERS === 0,
      `${extents.length} extent numbers are not a multiple of ${EXTENT_NUMBERS}`,
    )
    const own = { entries: entries.length, shard: this.#shard }
    const commit = encodeCommitEntry({ ...job.commit, ...own })
    const place = { salt: job.catalogueSalt, position: job.catalogueBytes }
    const all = [...entries, commit]
    const end = yield* appendToCatalogue(this.#disk, this.#shard, place, all)
    const catalogueBytes = yield* this.#tidyUp(job, end)
    return {
      kind: 'checkpoint',
      extents: Float64Array.from(extents),
      trimPoints,
      trimmed: this.#trimmed,
      catalogueBytes,
      damage: this.damage,
      notes: this.notes,
    }
  }

  /**
   * Appends one stream's records to its segments and makes them durable. Does not touch the
   * catalogue. @throws DiskError
   */
  *store(job: StoreJob): Steps<ExtentNumbers> {
    this.#target = 'records'
    const [only] = yield* this.#storeAll(job)
    assert(only !== undefined, 'a store job is about a stream')
    return extentNumbers(only.stored, only.freedBytes)
  }

  /** Indexes the records of a store job, once the journal refers to them. @throws DiskError */
  index(job: StoreJob): void {
    const bytes = Buffer.from(job.entries.buffer, job.entries.byteOffset, job.entries.length)
    const entry = decodeEntry(bytes, 0)
    assert(entry?.type === EntryType.Stream, 'a job carries stream entries')
    const memory = job.chunks.map(chunk => Buffer.from(chunk))
    const frames = sliceFrames(memory, job.frames.subarray(2))
    const writer = this.#writerFor(entry.stream, frames, job.frames[0] as number, 'index')
    for (const frame of frames) writer.append(frame)
    writer.flush()
  }

  #writerFor(
    entry: StreamEntry,
    frames: readonly Buffer[],
    flags: number,
    target: SegmentTarget,
  ): SegmentWriter {
    const start = {
      id: entry.streamId,
      nextOffset: firstOffsetOf(frames) ?? entry.nextOffset,
      recordHash: entry.recordHash,
      endsWithCheckpoint: (flags & StreamFlag.EndsWithCheckpoint) !== 0,
    }
    const directory = streamPath(entry.name, entry.streamId)
    return new SegmentWriter(this.#disk, this.#files, directory, start, entry, target)
  }

  /** Stores the records of every stream of a job, and makes them durable. */
  *#storeAll({ entries, frames, chunks }: StoredFrames): Steps<Stored[]> {
    const bytes = Buffer.from(entries.buffer, entries.byteOffset, entries.length)
    const memory = chunks.map(chunk => Buffer.from(chunk))
    const all: Stored[] = []
    try {
      let frameAt = 0
      for (let at = 0; at < bytes.length; ) {
        const entry = decodeEntry(bytes, at)
        assert(entry?.type === EntryType.Stream, 'a job carries stream entries')
        const flags = frames[frameAt] as number
        const count = frames[frameAt + 1] as number
        const slices = sliceFrames(memory, frames.subarray(frameAt + 2, frameAt + 2 + 3 * count))
        all.push(yield* this.#store(entry.stream, slices, flags))
        frameAt += 2 + 3 * count
        at = entry.end
      }
      yield* this.#files.sync()
      for (const [path, entry] of this.#manifests) {
        this.#current = { entry, firstOffset: entry.nextOffset }
        this.#replaceManifest(path)
      }
      this.#current = undefined
      yield { files: [], directories: [...this.#directories] }
    } catch (error) {
      this.#blame(error)
      throw error
    } finally {
      this.#files.close()
    }
    return all
  }

  *#store(entry: StreamEntry, frames: readonly Buffer[], flags: number): Steps<Stored> {
    const directory = streamPath(entry.name, entry.streamId)
    const isNew = isUnstored(entry)
    if (isNew && frames.length === 0) return { stored: entry, freedBytes: 0 } // no directory yet
    const writer = this.#writerFor(entry, frames, flags, this.#target)
    this.#current = { entry, firstOffset: writer.nextOffset }
    if (isNew) this.#makeDirectory(directory)
    for (const frame of frames) {
      if (this.#files.areMany) yield* this.#files.sync()
      writer.append(frame)
    }
    writer.flush()
    assert(
      writer.nextOffset === entry.nextOffset,
      'the frames of a job reach the end that it names',
    )
    // An empty active segment was just started, so the name of its file is new.
    if (entry.segmentBytes === 0) this.#directories.add(directory)
    for (const path of writer.directories) this.#directories.add(path)
    for (const range of writer.lost) this.#noteLost(entry, range)
    this.notes.push(...writer.notes)
    const added = frames.reduce((sum, frame) => sum + frame.length, 0)
    const recordHash = writer.recordHash(entry.chainHead)
    const recordBytes = entry.recordBytes + added
    const stored = { ...entry, ...writer.end, recordHash, recordBytes }
    const isStale = (flags & StreamFlag.ManifestStale) !== 0 || writer.directories.length > 0
    if (!isNew && !isStale && writer.rolled.length === 0) return { stored, freedBytes: 0 }
    const sealed = isNew ? [] : this.#sealedBefore(directory, entry)
    return this.#list(directory, stored, [...sealed, ...writer.rolled])
  }

  /** Writes the manifest, and drops the segments that are trimmed whole from the entry. */
  #list(directory: string, entry: StreamEntry, segments: readonly SegmentRange[]): Stored {
    const trimmed = segments.filter(({ nextOffset }) => nextOffset <= entry.firstOffset)
    const last = trimmed.at(-1)
    const freedBytes = trimmed.reduce((sum, { bytes }) => sum + bytes, 0)
    const stored =
      last === undefined
        ? entry
        : {
            ...entry,
            recordBytes: entry.recordBytes - freedBytes,
            firstSegment: last.number + 1,
            trimPoint: {
              offset: last.nextOffset,
              hash: hexToLatin1(last.chainHead),
              recordHash: hexToLatin1(last.recordHash),
            },
          }
    if (last !== undefined) {
      this.#trimmed.push({ directory, firstSegment: stored.firstSegment })
    }
    this.#writeManifest(directory, stored, segments)
    return { stored, freedBytes }
  }

  #makeDirectory(directory: string): void {
    // An existing directory was left by a write-back that failed before its commit.
    if (isDirectory(this.#disk, directory)) removeTree(this.#disk, directory)
    for (const path of makeStreamDirectory(this.#disk, directory)) this.#directories.add(path)
  }

  /** Returns the kept sealed segments from the manifest, or from the segments if it is damaged. */
  #sealedBefore(directory: string, entry: StreamEntry): readonly SegmentRange[] {
    const { firstSegment, segment } = entry
    const isKept = ({ number }: SegmentRange) => number >= firstSegment && number < segment
    const known = readSealed(this.#disk, directory, entry.streamId)?.filter(isKept)
    if (known?.length === segment - firstSegment) return known
    const { sealed, lost } = rebuildSealed(this.#disk, directory, entry)
    const missing = lost.length === 0 ? '' : `, ${lost.length} of them lost`
    const path = manifestPath(directory)
    if (isDirectory(this.#disk, path)) setAside(this.#disk, path)
    this.notes.push(`${path} is missing, damaged or behind: rebuilt from the segments${missing}`)
    for (const range of lost) this.#noteLost(entry, range)
    return sealed
  }

  #writeManifest(directory: string, entry: StreamEntry, sealed: readonly SegmentRange[]): void {
    const path = manifestPath(directory)
    const { trimPoint } = entry
    const content = encodeManifest({
      format: MANIFEST_FORMAT,
      stream: entry.name,
      streamId: latin1ToHex(entry.streamId),
      createdAt: entry.createdAt,
      closed: entry.closed,
      config: JSON.parse(entry.config),
      trimPoint: {
        offset: trimPoint.offset,
        chainHead: latin1ToHex(trimPoint.hash),
        recordHash: latin1ToHex(trimPoint.recordHash),
      },
      sealed,
      active: { number: entry.segment, firstOffset: entry.segmentFirstOffset },
    })
    try {
      const { file, made } = createFile(this.#disk, this.#files, directory, `${path}.tmp`)
      for (const parent of made) this.#directories.add(parent)
      writeFully(this.#disk, file, content, 0)
      this.#manifests.set(path, entry)
    } catch (error) {
      this.#forgoManifest(path, error)
    }
  }

  #replaceManifest(path: string): void {
    try {
      this.#disk.rename(`${path}.tmp`, path)
      this.#directories.add(parentPath(path))
    } catch (error) {
      this.#forgoManifest(path, error)
    }
  }

  /**
   * Removes a manifest that cannot be replaced: what it says does not hold any more. Whoever misses
   * it rebuilds it from the segments. @throws DiskError if it can be neither
   */
  #forgoManifest(path: string, error: unknown): void {
    if (!(error instanceof DiskError) || error.isSync || error.isForSpace) throw error
    try {
      if (this.#disk.exists(path)) this.#disk.remove(path)
    } catch (removal) {
      throw removal instanceof DiskError ? error : removal
    }
    this.#directories.add(parentPath(path))
    this.notes.push(`a manifest cannot be replaced, so it was removed: ${error.message}`)
  }

  /** Removes the files that the commit made obsolete. Returns the compacted catalogue's bytes. */
  *#tidyUp(job: CheckpointJob, bytes: number): Steps<number> {
    const removal = new Removal(this.#disk)
    removal.removeStreams(job.removed.map(({ streamId }) => streamId))
    yield* removal.settle()
    removal.attempt(() => freeJournalFiles(this.#disk, this.#shard, job.commit.journalFile))
    const compacted = yield* compactCatalogue(this.#disk, this.#shard, bytes, job.streams)
    this.notes.push(...removal.notes, ...compacted.notes)
    return compacted.bytes
  }

  #noteLost(entry: StreamEntry, range: LostRange): void {
    const { name: stream, streamId, firstOffset: kept } = entry
    const { nextOffset, reason } = range
    const firstOffset = Math.max(kept, range.firstOffset)
    if (firstOffset >= nextOffset) return
    this.damage.push({ stream, streamId: latin1ToHex(streamId), firstOffset, nextOffset, reason })
  }

  /** Reports the stream whose records cannot be stored, unless the disk is full. */
  #blame(error: unknown): void {
    if (!(error instanceof DiskError) || error.isSync || error.isForSpace) return
    if (this.#current === undefined) return
    const { entry, firstOffset } = this.#current
    const reason = `the write-back cannot store these records and retries: ${error.message}`
    this.#noteLost(entry, { firstOffset, nextOffset: entry.nextOffset, reason })
  }
}

function extentNumbers(stored: StreamEntry, freedBytes: number): ExtentNumbers {
  const { segment, segmentFirstOffset, segmentBytes, recordBytes, firstSegment } = stored
  return [segment, segmentFirstOffset, segmentBytes, recordBytes, firstSegment, freedBytes]
}

/** Whether the stream has no segment yet. */
function isUnstored({ segment, segmentBytes }: StreamEntry): boolean {
  return segment === 0 && segmentBytes === 0
}

function sliceFrames(chunks: readonly Buffer[], frames: Uint32Array): Buffer[] {
  const slices: Buffer[] = []
  for (let at = 0; at < frames.length; at += 3) {
    const [chunk, from, length] = frames.subarray(at, at + 3) as unknown as [number, number, number]
    slices.push((chunks[chunk] as Buffer).subarray(from, from + length))
  }
  return slices
}

function firstOffsetOf(frames: readonly Buffer[]): number | undefined {
  return frames[0] === undefined ? undefined : viewRecord(frames[0], 0)?.offset
}

function encodeEntry(entry: StreamEntry): Buffer {
  const bytes = Buffer.alloc(streamEntryBytesMax(entry.name, entry.config, entry.producers))
  return bytes.subarray(0, encodeStreamEntry(bytes, 0, entry))
}
