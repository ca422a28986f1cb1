import { hexToLatin1 } from '../../shared/format/bytes.ts'
import { chainHashOf } from '../../shared/format/chain.ts'
import { CHECKPOINT_RECORD_BYTES } from '../../shared/format/checkpoint.ts'
import { expandRecord } from '../../shared/format/expand.ts'
import { entryPosition, followsCheckpoint } from '../../shared/format/index-page.ts'
import { segmentPath, streamPath } from '../../shared/format/paths.ts'
import { RecordKind } from '../../shared/format/record.ts'
import type { LocatedRecord } from '../../shared/format/read-page.ts'
import { type ChainElement, corrupt, type LostRecords } from '../../shared/format/vouching.ts'
import type { ReadPlan } from '../../shared/protocol/shard.ts'
import type { Disk } from '../disk/disk.ts'
import { type CheckpointPlace, extentOf, type SegmentExtent } from './segment-extent.ts'
import { SealedSegments } from './sealed-segments.ts'
import { SegmentFile } from './segment-file.ts'
import { SegmentIndex } from './segment-index.ts'
import { scanSegment } from './segment-scan.ts'

// Reads the stored part of a stream, below the extents that its shard vouches for. Needs only the
// plan and the files; runs on a reader thread. What cannot be read is an element like the others,
// and what lies behind it is found again: who asks decides what the damage is to them.

export class SegmentReader {
  readonly #disk: Disk
  readonly #plan: ReadPlan
  readonly #directory: string
  readonly #sealed: SealedSegments
  readonly #indexes = new Map<number, SegmentIndex>()

  constructor(disk: Disk, plan: ReadPlan) {
    this.#disk = disk
    this.#plan = plan
    this.#directory = streamPath(plan.stream, plan.streamId)
    this.#sealed = new SealedSegments(disk, this.#directory, plan)
  }

  get isManifestStale(): boolean {
    return this.#sealed.isManifestStale
  }

  /** A segment whose index did not have what was asked. */
  get staleIndex(): { segment: number; firstOffset: number; bytes: number } | undefined {
    for (const [number, index] of this.#indexes) {
      const { firstOffset, bytes } = index.segment
      if (index.isStale) return { segment: number, firstOffset, bytes }
    }
    return undefined
  }

  /**
   * Yields what is stored from record `low` on, to the stored end, in order.
   * @param claimAt offset before whose element its claim is yielded alone
   */
  *elements(low: number, claimAt = Number.POSITIVE_INFINITY): Generator<ChainElement> {
    yield* this.#elementsIn(this.#segmentOf(low), low, undefined, claimAt)
  }

  /** Yields what is stored from the first segment kept on, its first checkpoint included. */
  *elementsFromStart(): Generator<ChainElement> {
    const { offset } = this.#plan.trimPoint
    yield* this.#elementsIn(this.#segmentOf(offset), offset, 0, Number.POSITIVE_INFINITY)
  }

  /** Yields what is stored from a checkpoint on, itself first. */
  *elementsFrom({ segment, position, offset }: CheckpointPlace): Generator<ChainElement> {
    yield* this.#elementsIn(segment, offset, position, Number.POSITIVE_INFINITY)
  }

  *#elementsIn(
    first: SegmentExtent,
    low: number,
    from: number | undefined,
    claimAt: number,
  ): Generator<ChainElement> {
    yield* this.#scan(first, low, from, claimAt)
    for (let at = first; at.number < this.#plan.stored.segment; ) {
      at = this.#segmentOf(at.nextOffset)
      yield* this.#scan(at, at.firstOffset, 0, claimAt)
    }
  }

  /**
   * Yields the stored data records of `[low, high)`, checked against their checksums alone.
   * @throws StoreError corrupt_record with the range that cannot be read
   */
  *dataRecords(low: number, high: number): Generator<LocatedRecord> {
    if (low >= high) return
    for (const element of this.elements(low)) {
      if ('record' in element) {
        if (element.record.offset >= high) return
        if (element.record.kind !== RecordKind.Data) continue
        yield element
        if (element.record.offset === high - 1) return
      } else if ('lost' in element && element.to > element.from) {
        if (element.from >= high) return
        throw corrupt(element.from, element.to, element.reason)
      }
    }
  }

  /** Returns the chain hash before record `offset`, by what lies before it, if that is whole. */
  hashBefore(offset: number): string | undefined {
    const { trimPoint, streamId } = this.#plan
    if (offset === trimPoint.offset) return trimPoint.hash
    const segment = this.#segmentOf(offset)
    if (offset === segment.firstOffset) {
      const before = this.#sealed.before(segment.number)
      return knownHash(before?.chainHead)
    }
    const index = this.#indexOf(segment)
    const entry = index.entry(offset)
    if (entry === undefined) return undefined
    const isBehindCheckpoint = followsCheckpoint(entry)
    const position = isBehindCheckpoint
      ? entryPosition(entry) - CHECKPOINT_RECORD_BYTES
      : index.position(offset - 1)
    const found = position === undefined ? undefined : this.#recordAt(segment, position)
    if (found?.record.end !== entryPosition(entry) - (position ?? 0)) return undefined
    const { bytes, record } = expandRecord(found)
    return chainHashOf(streamId, bytes, record)
  }

  /**
   * Returns the hash of data record `offset - 1`, as what follows it claims; where that is lost, as
   * the record itself is. Undefined where both are.
   */
  recordHashBefore(offset: number): string | undefined {
    const segment = this.#segmentOf(offset)
    if (offset === segment.firstOffset) {
      const before = this.#sealed.before(segment.number)
      return knownHash(before?.recordHash)
    }
    const index = this.#indexOf(segment)
    const file = this.#open(segment)
    try {
      return this.#claimBehind(file, index, offset) ?? this.#ownHash(file, index, offset - 1)
    } finally {
      file.close()
    }
  }

  /**
   * The previous hash of what lies right behind data record `offset - 1`: of the first of several
   * checkpoints. The index says whether there are any, and each but the last is taken only if the
   * next one links to it: a body may hold bytes that look like a checkpoint.
   */
  #claimBehind(file: SegmentFile, index: SegmentIndex, offset: number): string | undefined {
    const entry = index.entry(offset)
    if (entry === undefined) return undefined
    let position = entryPosition(entry)
    if (!followsCheckpoint(entry)) {
      const claimed = file.claimedAt(position)
      return claimed?.offset === offset ? claimed.previousHash : undefined
    }
    let claim: string | undefined
    for (;;) {
      position -= CHECKPOINT_RECORD_BYTES
      const found = position < 0 ? undefined : file.recordAt(position)
      const isCheckpoint = found?.record.kind === RecordKind.Checkpoint
      if (!isCheckpoint || found.record.offset !== offset) return claim
      const hash = chainHashOf(this.#plan.streamId, found.bytes, found.record)
      if (claim !== undefined && hash !== claim) return claim
      claim = found.record.previousHash
    }
  }

  #ownHash(file: SegmentFile, index: SegmentIndex, offset: number): string | undefined {
    const position = index.position(offset)
    const found = position === undefined ? undefined : file.recordAt(position)
    if (found?.record.offset !== offset || found.record.kind !== RecordKind.Data) return undefined
    const { bytes, record } = expandRecord(found)
    return chainHashOf(this.#plan.streamId, bytes, record)
  }

  /** Returns the nearest stored checkpoint at or below the offset, at most the stored end. */
  checkpointAtOrBelow(offset: number): CheckpointPlace | undefined {
    const { trimPoint } = this.#plan
    if (offset <= trimPoint.offset) return undefined
    let before = offset
    let segment = this.#segmentOf(offset)
    let found = this.#indexOf(segment).checkpointAtOrBelow(before)
    while (found === undefined && segment.firstOffset > trimPoint.offset) {
      before = segment.firstOffset
      segment = this.#segmentOf(before - 1)
      found = this.#indexOf(segment).checkpointAtOrBelow(before)
    }
    return found
  }

  /** Returns what a checkpoint says is the chain hash before it. */
  previousHashAt({ segment, position }: CheckpointPlace): string | undefined {
    return this.#recordAt(segment, position)?.record.previousHash
  }

  /** Yields the stored checkpoints at or above the offset, ascending. @throws StoreError */
  *checkpointsFrom(offset: number): Generator<LocatedRecord> {
    const { trimPoint, stored } = this.#plan
    if (offset <= stored.segmentFirstOffset && stored.segmentFirstOffset > trimPoint.offset) {
      for (const range of this.#sealed.all) {
        const isWanted = range.nextOffset >= offset && range.nextOffset > trimPoint.offset
        const isStored = range.number < stored.segment
        if (isWanted && isStored) yield* this.#checkpointsOf(extentOf(range), offset)
      }
    }
    yield* this.#checkpointsOf(this.#segmentOf(stored.nextOffset), offset)
  }

  *#checkpointsOf(segment: SegmentExtent, low: number): Generator<LocatedRecord> {
    if (segment.bytes === 0 || low > segment.nextOffset) return
    for (const offset of this.#indexOf(segment).checkpointsFrom(low)) {
      // Where the index cannot say, all of the segment is looked through.
      if (offset === undefined) {
        yield* this.#checkpointsAmong(segment, low)
        return
      }
    }
    for (const offset of this.#indexOf(segment).checkpointsFrom(low)) {
      if (offset !== undefined) yield* this.#checkpointsBefore(segment, offset)
    }
    yield* this.#checkpointsBefore(segment, segment.nextOffset)
  }

  /** The checkpoints between record `offset - 1` and `offset`. */
  *#checkpointsBefore(segment: SegmentExtent, offset: number): Generator<LocatedRecord> {
    const index = this.#indexOf(segment)
    const isFirst = offset === segment.firstOffset
    const low = isFirst ? offset : offset - 1
    const from = isFirst ? 0 : index.position(low)
    for (const element of this.#scan(segment, low, from, Number.POSITIVE_INFINITY)) {
      if ('record' in element) {
        if (element.record.offset > offset) return
        const { kind } = element.record
        if (element.record.offset < offset) continue
        if (kind === RecordKind.Data) return
        yield element
      } else if ('lost' in element) {
        if (element.from === element.to) throw this.#lostCheckpoint(element)
        if (element.to > offset) return
      }
    }
  }

  *#checkpointsAmong(segment: SegmentExtent, low: number): Generator<LocatedRecord> {
    const every = Number.POSITIVE_INFINITY
    for (const element of this.#scan(segment, segment.firstOffset, 0, every)) {
      const isCheckpoint = 'record' in element && element.record.kind === RecordKind.Checkpoint
      if (isCheckpoint && element.record.offset >= low) yield element
      if ('lost' in element && element.to >= low) throw this.#lostCheckpoint(element)
    }
  }

  #lostCheckpoint({ from, to, reason }: LostRecords) {
    const named = Math.max(0, Math.min(from, this.#plan.nextOffset - 1))
    return corrupt(named, Math.max(to, named + 1), reason)
  }

  /** Returns the offset of the first stored record at or after `since`, µs, or the stored end. */
  findTime(since: number): number {
    let low = this.#plan.firstOffset
    let high = this.#plan.stored.nextOffset
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const found = this.#wholeRecordFrom(middle, high)
      if (found !== undefined && found.timestamp < since) low = found.offset + 1
      else high = middle
    }
    return low
  }

  /** The same by a look at every record, for when times were changed. */
  findTimeInOrder(since: number): number {
    const { firstOffset, stored } = this.#plan
    for (const element of this.elements(firstOffset)) {
      if (!('record' in element) || element.record.kind !== RecordKind.Data) continue
      if (element.record.timestamp >= since) return element.record.offset
    }
    return stored.nextOffset
  }

  /** Returns the first data record at or above `low` and below `high` that checks. */
  #wholeRecordFrom(low: number, high: number) {
    for (const element of this.elements(low)) {
      if ('record' in element && element.record.kind === RecordKind.Data) {
        return element.record.offset < high ? element.record : undefined
      }
      if ('lost' in element && element.to >= high) return undefined
    }
    return undefined
  }

  /** Returns the lowest offset from which the records up to `high` take at most about `bytes`. */
  lowestWithin(low: number, high: number, bytes: number): number {
    let taken = 0
    let offset = high
    while (offset > low) {
      const segment = this.#segmentOf(offset - 1)
      const index = this.#indexOf(segment)
      const end = index.positionAtOrBelow(offset)
      const first = Math.max(low, segment.firstOffset)
      if (taken + end - index.positionAtOrBelow(first) <= bytes) {
        taken += end - index.positionAtOrBelow(first)
        offset = first
        continue
      }
      return Math.min(offset - 1, lowestIn(index, first, offset, end - (bytes - taken)))
    }
    return offset
  }

  *#scan(
    segment: SegmentExtent,
    low: number,
    from: number | undefined,
    claimAt: number,
  ): Generator<ChainElement> {
    if (segment.nextOffset === segment.firstOffset && segment.bytes === 0) return
    const file = this.#open(segment)
    try {
      yield* scanSegment(segment, file, this.#indexOf(segment), low, from, claimAt)
    } finally {
      file.close()
    }
  }

  #recordAt(segment: SegmentExtent, position: number): LocatedRecord | undefined {
    const file = this.#open(segment)
    try {
      return file.recordAt(position)
    } finally {
      file.close()
    }
  }

  #open({ number, bytes }: SegmentExtent): SegmentFile {
    return new SegmentFile(this.#disk, segmentPath(this.#directory, number), bytes)
  }

  #indexOf(segment: SegmentExtent): SegmentIndex {
    const known = this.#indexes.get(segment.number)
    if (known !== undefined) return known
    const index = new SegmentIndex(this.#disk, this.#directory, segment, position => {
      const file = this.#open(segment)
      try {
        return file.claimedAt(position)?.offset
      } finally {
        file.close()
      }
    })
    this.#indexes.set(segment.number, index)
    return index
  }

  #segmentOf(offset: number): SegmentExtent {
    const { stored } = this.#plan
    if (offset >= stored.segmentFirstOffset) {
      return {
        number: stored.segment,
        firstOffset: stored.segmentFirstOffset,
        nextOffset: stored.nextOffset,
        bytes: stored.segmentBytes,
        endsWithCheckpoint: stored.endsWithCheckpoint,
      }
    }
    const found = this.#sealed.at(offset)
    if (found === undefined) {
      throw corrupt(offset, stored.segmentFirstOffset, 'no segment says that it has it')
    }
    return extentOf(found)
  }
}

/** The hash in latin1; undefined where the manifest or its segment has none. */
function knownHash(hash: string | undefined): string | undefined {
  return hash === undefined || hash === '' ? undefined : hexToLatin1(hash)
}

/** First offset of `[low, high)` whose record starts at or above `position`. */
function lowestIn(index: SegmentIndex, low: number, high: number, position: number): number {
  let from = low
  let to = high
  while (from < to) {
    const middle = Math.floor((from + to) / 2)
    if (index.positionAtOrBelow(middle) < position) from = middle + 1
    else to = middle
  }
  return from
}
