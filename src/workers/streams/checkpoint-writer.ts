import { assert } from '../../shared/assert.ts'
import { latin1ToHex } from '../../shared/format/bytes.ts'
import {
  decodeEntry,
  EntryType,
  encodeCommitEntry,
  encodeRemovedEntry,
  encodeStreamEntry,
  type StreamEntry,
  streamEntryBytesMax,
} from '../../shared/format/catalogue.ts'
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
} from '../../shared/protocol/checkpointer.ts'
import type { Disk } from '../disk/disk.ts'
import { readWhole, removeTree, withFile, writeFully } from '../disk/files.ts'
import { freeJournalFiles } from '../journal/journal-files.ts'
import { appendToCatalogue, compactCatalogue } from './catalogue-file.ts'
import { SegmentWriter } from './segment-writer.ts'

// Carries out a journal checkpoint. The order is the point; each step is durable before the next:
//
//   1. records go to segments, new manifests to temporary files; synced
//   2. manifests are renamed into place; directories synced
//   3. the catalogue gets the new extents and the commit; synced. From here the checkpoint holds
//   4. deleted streams' files and journal files below the checkpoint go
//
// A crash before 3 leaves bytes past the extents of the last commit, which the journal writes
// again, and manifests that may name segments past them, which count for nothing.

/** From so many names to sync on, one sync of the file system is cheaper. */
const SYNC_ALL_FROM = 16
const REMOVED_SUFFIX = '.removed'

export class CheckpointWriter {
  readonly #disk: Disk
  readonly #shard: number
  readonly #files = new Set<string>()
  readonly #directories = new Set<string>()
  readonly #manifests: string[] = []
  readonly #damaged: string[] = []

  constructor(disk: Disk, shard: number) {
    this.#disk = disk
    this.#shard = shard
  }

  /**
   * @throws DiskError; the checkpoint does not hold then, unless it came from freeing what it freed
   */
  run(job: CheckpointJob): CheckpointDone {
    const aside = this.#moveRemovedAside(job)
    const jobEntries = Buffer.from(job.entries.buffer, job.entries.byteOffset, job.entries.length)
    const chunks = job.chunks.map(chunk => Buffer.from(chunk))
    const extents: number[] = []
    const entries: Buffer[] = job.removed.map(({ streamId }) => encodeRemovedEntry(streamId))
    let frameAt = 0
    for (let at = 0; at < jobEntries.length; ) {
      const entry = decodeEntry(jobEntries, at)
      assert(entry?.type === EntryType.Stream, 'a job carries stream entries')
      const manifestStale = job.frames[frameAt] === 1
      const count = job.frames[frameAt + 1] as number
      const frames = sliceFrames(chunks, job.frames.subarray(frameAt + 2, frameAt + 2 + 3 * count))
      const stored = this.#store(entry.stream, frames, manifestStale)
      extents.push(
        stored.segment,
        stored.segmentFirstOffset,
        stored.segmentBytes,
        stored.recordBytes,
      )
      entries.push(encodeEntry(stored))
      frameAt += 2 + 3 * count
      at = entry.end
    }
    assert(extents.length % EXTENT_NUMBERS === 0, 'an extent has so many numbers')
    this.#settle()
    for (const path of this.#manifests) this.#disk.rename(`${path}.tmp`, path)
    for (const path of this.#manifests) this.#directories.add(parentPath(path))
    this.#settle()
    const catalogueBytes = this.#commit(job, entries)
    for (const path of aside) removeTree(this.#disk, path)
    freeJournalFiles(this.#disk, this.#shard, job.commit.journalFile)
    return {
      kind: 'checkpoint',
      extents: Float64Array.from(extents),
      catalogueBytes,
      damaged: this.#damaged,
    }
  }

  /** A deleted stream's directory may be wanted by a new stream of the same name. */
  #moveRemovedAside(job: CheckpointJob): string[] {
    const aside: string[] = []
    for (const { name } of job.removed) {
      const directory = streamPath(name)
      const target = `${directory}${REMOVED_SUFFIX}`
      if (this.#disk.exists(target)) removeTree(this.#disk, target)
      if (!this.#disk.exists(directory)) continue
      this.#disk.rename(directory, target)
      this.#directories.add(parentPath(directory))
      aside.push(target)
    }
    return aside
  }

  #store(entry: StreamEntry, frames: readonly Buffer[], manifestStale: boolean): StreamEntry {
    const added = frames.reduce((sum, frame) => sum + frame.length, 0)
    const directory = streamPath(entry.name)
    const isNew = entry.recordBytes === 0
    if (isNew && frames.length === 0) return entry // no directory before the first record
    if (isNew) this.#makeDirectory(directory)
    const config = JSON.parse(entry.config) as { maxSegmentBytes: number }
    const writer = new SegmentWriter(
      this.#disk,
      directory,
      {
        maxSegmentBytes: config.maxSegmentBytes,
        nextOffset: firstOffsetOf(frames) ?? entry.nextOffset,
      },
      entry,
    )
    for (const frame of frames) writer.append(frame)
    writer.flush()
    assert(
      writer.nextOffset === entry.nextOffset,
      'the frames of a job reach the end that it names',
    )
    for (const path of writer.files) this.#files.add(path)
    const stored = { ...entry, ...writer.end, recordBytes: entry.recordBytes + added }
    if (isNew || manifestStale || writer.rolled.length > 0) {
      const sealed = this.#sealedBefore(directory, entry)
      // One damaged manifest must not stop its shard: it stays as it is, for reads to name.
      if (sealed === undefined) this.#damaged.push(manifestPath(directory))
      else this.#writeManifest(directory, stored, sealed, writer)
    }
    return stored
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

  /** The sealed segments that the manifest names and the catalogue knows of; undefined: damaged. */
  #sealedBefore(directory: string, entry: StreamEntry): readonly SegmentRange[] | undefined {
    if (entry.recordBytes === 0) return []
    const path = manifestPath(directory)
    const manifest = this.#disk.exists(path)
      ? decodeManifest(readWhole(this.#disk, path))
      : undefined
    if (manifest?.streamId !== latin1ToHex(entry.streamId)) return undefined
    return manifest.sealed.filter(segment => segment.number < entry.segment)
  }

  #writeManifest(
    directory: string,
    entry: StreamEntry,
    sealed: readonly SegmentRange[],
    writer: SegmentWriter,
  ): void {
    const path = manifestPath(directory)
    const content = encodeManifest({
      format: MANIFEST_FORMAT,
      stream: entry.name,
      streamId: latin1ToHex(entry.streamId),
      createdAt: entry.createdAt,
      closed: entry.closed,
      config: JSON.parse(entry.config),
      sealed: [...sealed, ...writer.rolled],
      active: { number: writer.end.segment, firstOffset: writer.end.segmentFirstOffset },
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
  const bytes = Buffer.alloc(streamEntryBytesMax(entry.name, entry.config))
  return bytes.subarray(0, encodeStreamEntry(bytes, 0, entry))
}
