import { assert } from '../../shared/assert.ts'
import { hexToLatin1, latin1ToHex } from '../../shared/format/bytes.ts'
import {
  decodeEntry,
  EntryType,
  encodeCommitEntry,
  encodeDecisionEntry,
  encodeRemovedEntry,
  encodeStreamEntry,
  type StreamEntry,
  streamEntryBytesMax,
} from '../../shared/format/catalogue.ts'
import type { StoredTrimPoint } from '../../shared/format/checkpoint.ts'
import {
  decodeManifest,
  encodeManifest,
  MANIFEST_FORMAT,
  type SegmentRange,
} from '../../shared/format/manifest.ts'
import { manifestPath, parentPath, STREAMS_PATH, streamPath } from '../../shared/format/paths.ts'
import { viewRecord } from '../../shared/format/record.ts'
import {
  type CheckpointDone,
  type CheckpointJob,
  EXTENT_NUMBERS,
  type ExtentNumbers,
  type StoreJob,
  StreamFlag,
  type TrimmedStream,
} from '../../shared/protocol/checkpointer.ts'
import type { Disk } from '../disk/disk.ts'
import { readWhole, removeTree, withFile, writeFully } from '../disk/files.ts'
import { freeJournalFiles } from '../journal/journal-files.ts'
import { appendToCatalogue, compactCatalogue } from './catalogue-file.ts'
import { removeStreams } from './removed-streams.ts'
import { type SegmentTarget, SegmentWriter } from './segment-writer.ts'

// Carries out a journal checkpoint. The order is the point; each step is durable before the next:
//
//   1. records go to segments, new manifests to temporary files; synced
//   2. manifests are renamed into place; directories synced
//   3. the catalogue gets the new extents and the commit; synced. From here the checkpoint holds
//   4. deleted streams' files and journal files below the checkpoint go
//   5. trimmed segments go, by a job of their own: reads planned before the commit may want them
//
// A crash before 3 leaves bytes past the extents of the last commit, which the journal writes
// again, and manifests that may name segments past them, which count for nothing. So a manifest
// goes on naming the segments that its own checkpoint lets go: the commit decides, not it.

/** From so many names to sync on, one sync of the file system is cheaper. */
const SYNC_ALL_FROM = 16

/** An entry as it will be, and the bytes of the segments that it no longer has. */
type Stored = { readonly stored: StreamEntry; readonly freedBytes: number }

export class CheckpointWriter {
  readonly #disk: Disk
  readonly #shard: number
  readonly #files = new Set<string>()
  readonly #directories = new Set<string>()
  readonly #manifests: string[] = []
  readonly #damaged: string[] = []
  #target: SegmentTarget = 'records and index'
  readonly #trimmed: TrimmedStream[] = []

  constructor(disk: Disk, shard: number) {
    this.#disk = disk
    this.#shard = shard
  }

  /**
   * @throws DiskError; the checkpoint does not hold then, unless it came from freeing what it freed
   */
  run(job: CheckpointJob): CheckpointDone {
    const extents: number[] = []
    const trimPoints = new Map<number, StoredTrimPoint>()
    const entries: Buffer[] = job.removed.map(({ streamId }) => encodeRemovedEntry(streamId))
    for (const { stored, freedBytes } of this.#storeAll(job)) {
      if (freedBytes > 0) trimPoints.set(extents.length / EXTENT_NUMBERS, stored.trimPoint)
      extents.push(...extentNumbers(stored, freedBytes))
      entries.push(encodeEntry(stored))
    }
    entries.push(...job.decisions.map(encodeDecisionEntry))
    assert(extents.length % EXTENT_NUMBERS === 0, 'an extent has so many numbers')
    const catalogueBytes = this.#commit(job, entries)
    removeStreams(
      this.#disk,
      job.removed.map(({ streamId }) => streamId),
    )
    freeJournalFiles(this.#disk, this.#shard, job.commit.journalFile)
    return {
      kind: 'checkpoint',
      extents: Float64Array.from(extents),
      trimPoints,
      trimmed: this.#trimmed,
      catalogueBytes,
      damaged: this.#damaged,
    }
  }

  /**
   * Brings one stream's segments up to date, durable when it returns, and leaves the catalogue as
   * it is. @throws DiskError
   */
  store(job: StoreJob): ExtentNumbers {
    this.#target = 'records'
    const [only] = this.#storeAll(job)
    assert(only !== undefined, 'a store job is about a stream')
    return extentNumbers(only.stored, only.freedBytes)
  }

  /** Indexes the records of a store job, as they cannot be lost any more. @throws DiskError */
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
    return new SegmentWriter(this.#disk, directory, start, entry, target)
  }

  #storeAll({ entries, frames, chunks }: Pick<CheckpointJob, 'entries' | 'frames' | 'chunks'>) {
    const bytes = Buffer.from(entries.buffer, entries.byteOffset, entries.length)
    const memory = chunks.map(chunk => Buffer.from(chunk))
    const all: Stored[] = []
    let frameAt = 0
    for (let at = 0; at < bytes.length; ) {
      const entry = decodeEntry(bytes, at)
      assert(entry?.type === EntryType.Stream, 'a job carries stream entries')
      const flags = frames[frameAt] as number
      const count = frames[frameAt + 1] as number
      const slices = sliceFrames(memory, frames.subarray(frameAt + 2, frameAt + 2 + 3 * count))
      all.push(this.#store(entry.stream, slices, flags))
      frameAt += 2 + 3 * count
      at = entry.end
    }
    this.#settle()
    for (const path of this.#manifests) this.#disk.rename(`${path}.tmp`, path)
    for (const path of this.#manifests) this.#directories.add(parentPath(path))
    this.#settle()
    return all
  }

  #store(entry: StreamEntry, frames: readonly Buffer[], flags: number): Stored {
    const added = frames.reduce((sum, frame) => sum + frame.length, 0)
    const directory = streamPath(entry.name, entry.streamId)
    const isNew = isUnstored(entry)
    if (isNew && frames.length === 0) return { stored: entry, freedBytes: 0 } // no directory yet
    if (isNew) this.#makeDirectory(directory)
    const writer = this.#writerFor(entry, frames, flags, this.#target)
    for (const frame of frames) writer.append(frame)
    writer.flush()
    assert(
      writer.nextOffset === entry.nextOffset,
      'the frames of a job reach the end that it names',
    )
    for (const path of writer.files) this.#files.add(path)
    // The segment before ended with the last checkpoint: this one's name is new.
    if (entry.segmentBytes === 0) this.#directories.add(directory)
    const recordHash = writer.recordHash(entry.chainHead)
    const recordBytes = entry.recordBytes + added
    const stored = { ...entry, ...writer.end, recordHash, recordBytes }
    const isStale = (flags & StreamFlag.ManifestStale) !== 0
    if (!isNew && !isStale && writer.rolled.length === 0) return { stored, freedBytes: 0 }
    const sealed = this.#sealedBefore(directory, entry)
    if (sealed !== undefined) return this.#list(directory, stored, [...sealed, ...writer.rolled])
    // One damaged manifest must not stop its shard: it stays as it is, for reads to name.
    this.#damaged.push(manifestPath(directory))
    return { stored, freedBytes: 0 }
  }

  /** Writes the manifest, and lets go the segments that are trimmed whole. */
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
    const parent = parentPath(directory)
    if (!this.#disk.exists(parent)) {
      this.#disk.makeDirectory(parent)
      this.#directories.add(STREAMS_PATH)
    }
    // One that exists is left from a checkpoint that did not come to its commit.
    if (this.#disk.exists(directory)) removeTree(this.#disk, directory)
    this.#disk.makeDirectory(directory)
    this.#directories.add(parent)
    this.#directories.add(directory)
  }

  /** The sealed segments that the manifest names and the catalogue keeps; undefined: damaged. */
  #sealedBefore(directory: string, entry: StreamEntry): readonly SegmentRange[] | undefined {
    if (isUnstored(entry)) return []
    const path = manifestPath(directory)
    const manifest = this.#disk.exists(path)
      ? decodeManifest(readWhole(this.#disk, path))
      : undefined
    if (manifest?.streamId !== latin1ToHex(entry.streamId)) return undefined
    return manifest.sealed.filter(
      ({ number }) => number >= entry.firstSegment && number < entry.segment,
    )
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
    const temporary = `${path}.tmp`
    withFile(this.#disk, temporary, 'create', file => writeFully(this.#disk, file, content, 0))
    this.#files.add(temporary)
    this.#manifests.push(path)
  }

  /** Makes durable what was written and named so far. */
  #settle(): void {
    const names = this.#files.size + this.#directories.size
    if (names < SYNC_ALL_FROM || !this.#disk.syncAll()) {
      for (const path of this.#files) {
        withFile(this.#disk, path, 'update', file => this.#disk.sync(file))
      }
      for (const path of this.#directories) this.#disk.syncDirectory(path)
    }
    this.#files.clear()
    this.#directories.clear()
  }

  #commit(job: CheckpointJob, entries: Buffer[]): number {
    const commit = encodeCommitEntry({ ...job.commit, entries: entries.length })
    const addition = Buffer.concat([...entries, commit])
    appendToCatalogue(this.#disk, this.#shard, job.catalogueBytes, addition)
    const bytes = job.catalogueBytes + addition.length
    return compactCatalogue(this.#disk, this.#shard, bytes, job.streams)
  }
}

function extentNumbers(stored: StreamEntry, freedBytes: number): ExtentNumbers {
  const { segment, segmentFirstOffset, segmentBytes, recordBytes, firstSegment } = stored
  return [segment, segmentFirstOffset, segmentBytes, recordBytes, firstSegment, freedBytes]
}

/** Whether there is no segment yet. */
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
