import { assert } from '../../shared/assert.ts'
import { StoreError } from '../../shared/errors.ts'
import { hexToLatin1, latin1ToHex } from '../../shared/format/bytes.ts'
import { type StreamEntry, UNWRITTEN_BYTES_MAX } from '../../shared/format/catalogue.ts'
import { encodeManifest, MANIFEST_FORMAT, type SegmentRange } from '../../shared/format/manifest.ts'
import { manifestPath, parentPath } from '../../shared/format/paths.ts'
import { type Findings, type StoreJob, StreamFlag } from '../../shared/protocol/checkpointer.ts'
import type { StreamDamage } from '../../shared/protocol/streams.ts'
import { isDirectory, setAside } from '../disk/aside.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { removeTree, writeFully } from '../disk/files.ts'
import { OpenFiles } from '../disk/open-files.ts'
import type { Steps } from '../disk/sync-steps.ts'
import { rebuildSealed } from './manifest-rebuild.ts'
import { createFile, makeStreamDirectory } from './missing-files.ts'
import { readSealed } from './sealed-segments.ts'
import { type LostRange, type SegmentTarget, SegmentWriter } from './segment-writer.ts'
import {
  firstOffsetOf,
  isUnstored,
  type StoredStream,
  type StreamJob,
  streamsOf,
  unwrittenEntry,
} from './stored-stream.ts'
import { unwrittenBytes } from './unwritten-records.ts'

// Writes the records of a job to the segments and manifests of their streams, and makes them
// durable. It does not touch the catalogue.
//
// Damage to one stream's files stays with that stream. A missing segment is created again, a
// damaged manifest is rebuilt, an index that cannot be written is skipped. If the files of a stream
// cannot be written, a write-back leaves the stream out and puts its frames into its entry.
// Invariants:
// - a stream that is left out keeps its old extent, and none of its segments are trimmed
// - none of its files is synced after the failed call, so a sync of them cannot fail the shard
// - a failed sync, a full disk or a lack of file descriptors is no stream's fault: the job fails

export class StreamWriter implements Findings {
  readonly #disk: Disk
  readonly #files: OpenFiles
  readonly #target: SegmentTarget
  /** Directories to sync, and the streams that need each. */
  readonly #directories = new Map<string, Set<StoredStream>>()
  /** Final path of each manifest that is still a temporary file. */
  readonly #manifests = new Map<string, StoredStream>()
  readonly damage: StreamDamage[] = []
  readonly notes: string[] = []
  /** Bytes of the frames that could not be written. */
  unwrittenBytes = 0

  constructor(disk: Disk, target: SegmentTarget = 'records and index') {
    this.#disk = disk
    this.#files = new OpenFiles(disk)
    this.#target = target
  }

  /** Stores the records of every stream of a job, and makes them durable. @throws DiskError */
  *store(job: StreamJob): Steps<StoredStream[]> {
    const streams = streamsOf(job)
    try {
      for (const stream of streams) {
        try {
          yield* this.#store(stream, job.reserveBytes !== undefined)
        } catch (error) {
          this.#leave(stream, error, job.reserveBytes)
        }
      }
      yield* this.#files.sync()
      for (const [path, stream] of this.#manifests) {
        if (stream.fault !== undefined) continue
        try {
          this.#replaceManifest(path, stream)
        } catch (error) {
          this.#leave(stream, error, job.reserveBytes)
        }
      }
      yield* this.#syncDirectories(job.reserveBytes)
    } finally {
      this.#files.close()
    }
    return streams
  }

  /** Indexes the records of a store job, once the journal refers to them. @throws DiskError */
  index(job: StoreJob): void {
    const [stream] = streamsOf(job)
    assert(stream !== undefined, 'a store job is about a stream')
    const writer = this.#writerFor(stream)
    for (const frame of stream.frames) writer.append(frame)
    writer.flush()
    this.#files.close()
  }

  #writerFor({ entry, frames, flags, directory }: StoredStream): SegmentWriter {
    const start = {
      id: entry.streamId,
      nextOffset: firstOffsetOf(frames) ?? entry.nextOffset,
      recordHash: entry.recordHash,
      endsWithCheckpoint: (flags & StreamFlag.EndsWithCheckpoint) !== 0,
    }
    return new SegmentWriter(this.#disk, this.#files, directory, start, entry, this.#target)
  }

  *#store(stream: StoredStream, isWriteBack: boolean): Steps<void> {
    const { entry, frames, flags, directory } = stream
    const isNew = isUnstored(entry)
    if (isNew && frames.length === 0) return // no directory yet
    const writer = this.#writerFor(stream)
    if (isNew) this.#makeDirectory(stream)
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
    if (entry.segmentBytes === 0) this.#syncLater(directory, stream)
    for (const path of writer.directories) this.#syncLater(path, stream)
    for (const range of writer.lost) this.#noteLost(entry, range)
    this.notes.push(...writer.notes)
    const added = frames.reduce((sum, frame) => sum + frame.length, 0)
    const recordHash = writer.recordHash(entry.chainHead)
    const recordBytes = entry.recordBytes + added
    stream.stored = { ...entry, ...writer.end, recordHash, recordBytes }
    const isStale = (flags & StreamFlag.ManifestStale) !== 0 || writer.directories.length > 0
    if (!isNew && !isStale && writer.rolled.length === 0) return
    const sealed = isNew ? [] : this.#sealedBefore(directory, entry)
    const segments = [...sealed, ...writer.rolled]
    if (isWriteBack) this.#dropTrimmed(stream, segments)
    this.#writeManifest(stream, segments)
  }

  /** Drops wholly trimmed segments from the entry. Only a write-back may, as it commits that. */
  #dropTrimmed(stream: StoredStream, segments: readonly SegmentRange[]): void {
    const { stored: entry, directory } = stream
    const trimmed = segments.filter(({ nextOffset }) => nextOffset <= entry.firstOffset)
    const last = trimmed.at(-1)
    if (last === undefined) return
    const freedBytes = trimmed.reduce((sum, { bytes }) => sum + bytes, 0)
    const firstSegment = last.number + 1
    const trimPoint = {
      offset: last.nextOffset,
      hash: hexToLatin1(last.chainHead),
      recordHash: hexToLatin1(last.recordHash),
    }
    const recordBytes = entry.recordBytes - freedBytes
    stream.stored = { ...entry, recordBytes, firstSegment, trimPoint }
    stream.freedBytes = freedBytes
    stream.trimmed = { directory, firstSegment }
  }

  #makeDirectory(stream: StoredStream): void {
    const { directory } = stream
    // An existing directory was left by a write-back that failed before its commit.
    if (isDirectory(this.#disk, directory)) removeTree(this.#disk, directory)
    for (const path of makeStreamDirectory(this.#disk, directory)) this.#syncLater(path, stream)
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

  #writeManifest(stream: StoredStream, sealed: readonly SegmentRange[]): void {
    const { stored: entry, directory } = stream
    const path = manifestPath(directory)
    const { trimPoint } = entry
    const content = encodeManifest({
      format: MANIFEST_FORMAT,
      stream: entry.name,
      streamId: latin1ToHex(entry.streamId),
      creationHash: latin1ToHex(entry.creationHash),
      createdAt: entry.createdAt,
      closed: entry.closed,
      config: JSON.parse(entry.config),
      firstOffset: entry.firstOffset,
      stateCheckpoint: latin1ToHex(entry.stateCheckpoint),
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
      for (const parent of made) this.#syncLater(parent, stream)
      writeFully(this.#disk, file, content, 0)
      this.#manifests.set(path, stream)
    } catch (error) {
      this.#forgoManifest(path, stream, error)
    }
  }

  #replaceManifest(path: string, stream: StoredStream): void {
    try {
      this.#disk.rename(`${path}.tmp`, path)
      this.#syncLater(parentPath(path), stream)
    } catch (error) {
      this.#forgoManifest(path, stream, error)
    }
  }

  /**
   * Removes a manifest that cannot be replaced, because its content no longer holds. It is rebuilt
   * from the segments at its next use. @throws DiskError if it cannot be removed either
   */
  #forgoManifest(path: string, stream: StoredStream, error: unknown): void {
    if (!(error instanceof DiskError) || error.isSync || error.isForSpace) throw error
    try {
      if (this.#disk.exists(path)) this.#disk.remove(path)
    } catch (removal) {
      throw removal instanceof DiskError ? error : removal
    }
    this.#syncLater(parentPath(path), stream)
    this.notes.push(`${path} cannot be replaced, so it was removed: ${error.message}`)
  }

  #syncLater(directory: string, stream: StoredStream): void {
    const streams = this.#directories.get(directory)
    if (streams === undefined) this.#directories.set(directory, new Set([stream]))
    else streams.add(stream)
  }

  /** Syncs the directories. If one cannot be opened, the streams that need it are left out. */
  *#syncDirectories(reserveBytes: number | undefined): Steps<void> {
    while (this.#directories.size > 0) {
      try {
        yield { files: [], directories: [...this.#directories.keys()] }
        return
      } catch (error) {
        const path = error instanceof DiskError && !error.isSync ? error.path : ''
        const streams = this.#directories.get(path)
        if (streams === undefined) throw error
        for (const stream of streams) this.#leave(stream, error, reserveBytes)
        this.#directories.delete(path)
      }
    }
  }

  #noteLost(entry: StreamEntry, range: LostRange): void {
    const { name: stream, streamId, firstOffset: kept } = entry
    const { nextOffset, reason } = range
    const firstOffset = Math.max(kept, range.firstOffset)
    if (firstOffset >= nextOffset) return
    this.damage.push({ stream, streamId: latin1ToHex(streamId), firstOffset, nextOffset, reason })
  }

  /**
   * Leaves a stream out: its entry keeps the old extent and takes the frames.
   * @throws `error` if the stream's files are not to blame, or its frames are too large for that
   */
  #leave(stream: StoredStream, error: unknown, reserveBytes: number | undefined): void {
    if (stream.fault !== undefined) return
    const failure = diskErrorOf(error)
    if (reserveBytes === undefined || failure === undefined) throw error
    const bytes = unwrittenBytes(stream.frames)
    if (!this.#isOfOneStream(failure, reserveBytes + 2 * bytes)) throw error
    if (this.unwrittenBytes + bytes > UNWRITTEN_BYTES_MAX) throw error
    this.unwrittenBytes += bytes
    this.#files.abandon(stream.directory)
    stream.stored = unwrittenEntry(stream)
    stream.freedBytes = 0
    stream.trimmed = undefined
    stream.fault = { reason: failure.message, isForSpace: failure.isForSpace }
  }

  /** Returns whether a failure concerns this stream alone and the disk has `roomBytes` left. */
  #isOfOneStream({ isSync, isForFiles, code }: DiskError, roomBytes: number): boolean {
    if (isSync || isForFiles) return false
    if (code !== 'ENOSPC') return true
    try {
      return this.#disk.freeBytes() > roomBytes
    } catch (error) {
      if (error instanceof DiskError) return false
      throw error
    }
  }
}

/** Returns the DiskError, also if the segment reader has wrapped it in a StoreError. */
export function diskErrorOf(error: unknown): DiskError | undefined {
  const cause = error instanceof StoreError ? error.cause : error
  return cause instanceof DiskError ? cause : undefined
}
