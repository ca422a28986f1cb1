import { StoreError } from '../../shared/errors.ts'
import { hexToLatin1 } from '../../shared/format/bytes.ts'
import type { StreamEntry } from '../../shared/format/catalogue.ts'
import { chainHashOf, GENESIS_HASH } from '../../shared/format/chain.ts'
import { decodeCheckpointBody, type StoredTrimPoint } from '../../shared/format/checkpoint.ts'
import { expandRecord } from '../../shared/format/expand.ts'
import type { Manifest, SegmentRange } from '../../shared/format/manifest.ts'
import { segmentNumber, segmentPath } from '../../shared/format/paths.ts'
import { RecordKind } from '../../shared/format/record.ts'
import { afterCheckpoint, afterRecord, type StreamPosition } from '../streams/stream-position.ts'
import type { Disk } from '../disk/disk.ts'
import { rebuildSealed } from '../streams/manifest-rebuild.ts'
import { type FoundRecord, SegmentFile } from '../streams/segment-file.ts'
import { appendsBelow, type JournaledStream, overlaps } from './journaled-streams.ts'

// Rebuilds the catalogue entry of a stream from its manifest and its segments.
//
// A segment may hold records that were never part of its stream: a large append goes straight to
// the segment, and its frame may never have become durable. Other records may have been
// acknowledged for the same offsets since. So if the journal continues from a place in the middle
// of a segment, the segment counts up to that place, and the journal supplies the rest. Otherwise
// the whole segment counts. Its end is proved to be the end of the stream only if the journal names
// that place.

const UNKNOWN_HASH = ''

/** The segments of a stream, as its manifest or its files show them. */
type Shape = {
  readonly trimPoint: StoredTrimPoint
  readonly firstSegment: number
  /** Sealed ones that are kept. */
  readonly sealed: readonly SegmentRange[]
  readonly active: { readonly number: number; readonly firstOffset: number }
}

/** A place in the chain of a stream, between two elements. */
type Place = {
  readonly segment: number
  readonly position: StreamPosition
  readonly nextOffset: number
  readonly chainHead: string
  readonly recordHash: string
  readonly lastTimestamp: number
  /** Stored bytes of the records before it. */
  readonly recordBytes: number
}

/** How far a stream's segments reach. */
export type StreamExtent = Pick<
  StreamEntry,
  | 'chainHead'
  | 'recordHash'
  | 'lastTimestamp'
  | 'nextOffset'
  | 'recordBytes'
  | 'segment'
  | 'segmentFirstOffset'
  | 'segmentBytes'
  | 'segmentSince'
  | 'lastCheckpoint'
  | 'trimPoint'
  | 'firstSegment'
> & {
  /** Number of the journal's appends that the segments hold, counted from its first one. */
  readonly appends: number
  /** Whether the journal names the place where the extent ends. */
  readonly isProved: boolean
}

/**
 * Returns how far a stream's segments reach; undefined if it has none.
 * @param manifest undefined if it is damaged or lost
 * @throws DiskError if no file descriptor is left
 */
export function findExtent(
  disk: Disk,
  directory: string,
  streamId: string,
  manifest: Manifest | undefined,
  journaled: JournaledStream | undefined,
): StreamExtent | undefined {
  const shape = manifest === undefined ? shapeOfFiles(disk, directory, streamId) : shapeOf(manifest)
  if (shape === undefined) return undefined
  const { sealed, active } = shape
  const starts = [...sealed, active]
  let last: Found | undefined
  for (let at = starts.length - 1; at >= 0; at -= 1) {
    const start = startOf(shape, at)
    const found = new SegmentWalk(disk, directory, streamId, start, journaled).run()
    const { named, end } = found
    last ??= found
    if (named !== undefined && journaled?.starts[named.appends] === named.place.nextOffset) {
      return extentOf(shape, named.place, named.appends, true)
    }
    const isSound = named !== undefined || journaled === undefined
    if (isSound || !overlaps(journaled, start.nextOffset, end.nextOffset)) break
    // The journal has other records for offsets of this segment, so the segment never counted.
  }
  if (last === undefined) return undefined
  const { named, end } = last
  const isProved = named !== undefined && named.place.chainHead === end.chainHead
  return extentOf(shape, end, appendsBelow(journaled, end.nextOffset), isProved)
}

function extentOf(
  { trimPoint, firstSegment }: Shape,
  { position, ...place }: Place,
  appends: number,
  isProved: boolean,
): StreamExtent {
  return { ...place, ...position, trimPoint, firstSegment, appends, isProved }
}

/** Skips segments below the trim point: a manifest still names those that its write-back trims. */
function shapeOf({ trimPoint, sealed, active }: Manifest): Shape {
  const { offset, chainHead, recordHash } = trimPoint
  const kept = sealed.filter(({ firstOffset }) => firstOffset >= offset)
  return {
    trimPoint: { offset, hash: hexToLatin1(chainHead), recordHash: hexToLatin1(recordHash) },
    firstSegment: kept[0]?.number ?? active.number,
    sealed: kept,
    active,
  }
}

function shapeOfFiles(disk: Disk, directory: string, streamId: string): Shape | undefined {
  const numbers = disk
    .list(directory)
    .filter(name => name.endsWith('.log'))
    .map(segmentNumber)
    .filter(number => number !== undefined)
    .sort((left, right) => left - right)
  const [firstSegment, segment] = [numbers[0], numbers.at(-1)]
  if (firstSegment === undefined || segment === undefined) return undefined
  const first = firstRecord(disk, directory, firstSegment)
  const last = firstRecord(disk, directory, segment)
  const trimPoint = {
    offset: first?.offset ?? 0,
    hash: first?.previousHash ?? GENESIS_HASH,
    recordHash: GENESIS_HASH,
  }
  const end = { segment, segmentFirstOffset: last?.offset ?? trimPoint.offset, segmentBytes: 0 }
  const head = { recordBytes: 0, chainHead: last?.previousHash ?? trimPoint.hash, lastTimestamp: 0 }
  const entry = { streamId, trimPoint, firstSegment, ...end, ...head }
  const { sealed } = rebuildSealed(disk, directory, entry)
  const firstOffset = last?.offset ?? sealed.at(-1)?.nextOffset ?? trimPoint.offset
  return { trimPoint, firstSegment, sealed, active: { number: segment, firstOffset } }
}

function firstRecord(disk: Disk, directory: string, segment: number) {
  const path = segmentPath(directory, segment)
  const file = new SegmentFile(disk, path, Number.MAX_SAFE_INTEGER)
  try {
    return file.recordAt(0)?.record
  } finally {
    file.close()
  }
}

/** The place where segment number `at` of a shape begins. */
function startOf({ sealed, active, trimPoint }: Shape, at: number): Place {
  const before = sealed[at - 1]
  const { number, firstOffset } = sealed[at] ?? active
  const segmentFirstOffset = firstOffset
  return {
    segment: number,
    position: { segmentFirstOffset, segmentBytes: 0, segmentSince: 0, lastCheckpoint: firstOffset },
    nextOffset: firstOffset,
    chainHead: before === undefined ? trimPoint.hash : hexToLatin1(before.chainHead),
    recordHash: before === undefined ? trimPoint.recordHash : hexToLatin1(before.recordHash),
    lastTimestamp: before?.lastTimestamp ?? 0,
    recordBytes: sealed.slice(0, at).reduce((sum, { bytes }) => sum + bytes, 0),
  }
}

type Found = {
  /** The place after the last sound element. */
  readonly end: Place
  /** The last place whose chain hash the journal names. */
  readonly named: { readonly place: Place; readonly appends: number } | undefined
}

/** Walks through the elements of one segment and skips damaged ranges. */
class SegmentWalk {
  readonly #file: SegmentFile
  readonly #streamId: string
  readonly #journaled: JournaledStream | undefined
  /** The current place. Its hashes are one element behind until `#settle` is called. */
  #place: Place
  /** The last element. The next element names its hash. */
  #last: { readonly at: number; readonly isData: boolean; readonly before: Place } | undefined
  #named: Found['named']

  constructor(
    disk: Disk,
    directory: string,
    streamId: string,
    start: Place,
    journaled: JournaledStream | undefined,
  ) {
    const path = segmentPath(directory, start.segment)
    this.#file = new SegmentFile(disk, path, Number.MAX_SAFE_INTEGER)
    this.#streamId = streamId
    this.#journaled = journaled
    this.#place = start
  }

  run(): Found {
    try {
      this.#walk()
      return { end: this.#place, named: this.#named }
    } finally {
      this.#file.close()
    }
  }

  #walk(): void {
    this.#note()
    for (let at = 0; at < this.#file.available; ) {
      const found = this.#file.recordAt(at)
      if (found?.record.offset !== this.#place.nextOffset) {
        const next = this.#file.search(at + 1, this.#place.nextOffset, Number.MAX_SAFE_INTEGER)
        if (next === undefined) break
        const { offset: nextOffset, previousHash: chainHead } = next.record
        const position = { ...this.#place.position, segmentBytes: next.position }
        const recordBytes = this.#place.recordBytes + next.position - at
        this.#last = undefined
        const hashes = { chainHead, recordHash: UNKNOWN_HASH }
        this.#place = { ...this.#place, position, nextOffset, recordBytes, ...hashes }
        at = next.position
        continue
      }
      this.#settle(found.record.previousHash)
      if (this.#take(found, at)) break
      at += found.record.end - found.record.at
    }
    const last = this.#last
    this.#settle(this.#lastHash())
    if (last !== undefined && this.#last !== undefined) this.#place = last.before
  }

  /** Takes the element at `at`. Returns whether it is the last of its segment. */
  #take({ bytes, record }: FoundRecord, at: number): boolean {
    const { offset, timestamp, kind } = record
    const length = record.end - record.at
    const place = { ...this.#place, recordBytes: this.#place.recordBytes + length }
    this.#last = { at, isData: kind === RecordKind.Data, before: this.#place }
    if (kind === RecordKind.Data) {
      const position = afterRecord(place.position, length, timestamp)
      this.#place = { ...place, position, nextOffset: offset + 1, lastTimestamp: timestamp }
      return false
    }
    const isLast = decodeCheckpointBody(bytes, record)?.isLastOfSegment === true
    const position = afterCheckpoint(place.position, length, offset, isLast)
    const segment = place.segment + (isLast ? 1 : 0)
    this.#place = { ...place, position, segment, lastTimestamp: timestamp }
    return isLast
  }

  /** Sets the hashes of the place after the last element. */
  #settle(chainHead: string | undefined): void {
    if (this.#last === undefined || chainHead === undefined) return
    const { isData } = this.#last
    const recordHash = isData ? chainHead : this.#place.recordHash
    this.#place = { ...this.#place, chainHead, recordHash }
    this.#last = undefined
    this.#note()
  }

  /** Keeps the place if the journal names it. */
  #note(): void {
    const appends = this.#journaled?.chain.get(this.#place.chainHead)
    if (appends === undefined || appends < (this.#named?.appends ?? 0)) return
    this.#named = { place: this.#place, appends }
  }

  /** Computes the hash of the last element; undefined if its body cannot be expanded. */
  #lastHash(): string | undefined {
    const found = this.#last && this.#file.recordAt(this.#last.at)
    if (found === undefined) return undefined
    try {
      const { bytes, record } = expandRecord(found)
      return chainHashOf(this.#streamId, bytes, record)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      return undefined
    }
  }
}
