import { latin1ToHex } from '../../shared/format/bytes.ts'
import type { StreamEntry } from '../../shared/format/catalogue.ts'
import { chainHashOf } from '../../shared/format/chain.ts'
import { CHECKPOINT_RECORD_BYTES, decodeCheckpointBody } from '../../shared/format/checkpoint.ts'
import { entryPosition } from '../../shared/format/index-page.ts'
import type { SegmentRange } from '../../shared/format/manifest.ts'
import { segmentPath } from '../../shared/format/paths.ts'
import {
  decodeRecord,
  RECORD_HEADER_BYTES,
  type RecordView,
  viewRecord,
} from '../../shared/format/record.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { readFully, withFile } from '../disk/files.ts'
import { lookUp, scanEntries } from './offset-index.ts'
import type { LostRange } from './segment-writer.ts'

// Rebuilds the list of sealed segments of a lost manifest from the segments themselves. A segment
// that is lost too keeps its place in the list, with the offsets between its neighbours, so that
// reads keep reporting it.

/** The sealed segments of a stream, as far as its files show them. */
export type RebuiltSegments = {
  readonly sealed: SegmentRange[]
  /** Offsets of segments that are missing or do not end with their checkpoint. */
  readonly lost: LostRange[]
}

/** How far a stream's segments reach. */
export type SegmentsEnd = Pick<
  StreamEntry,
  | 'streamId'
  | 'trimPoint'
  | 'firstSegment'
  | 'segment'
  | 'segmentFirstOffset'
  | 'segmentBytes'
  | 'recordBytes'
  | 'chainHead'
  | 'lastTimestamp'
>

/** What one segment's file shows. */
type Found = {
  readonly number: number
  /** Undefined if the file is missing or unreadable. */
  readonly bytes: number | undefined
  readonly first: RecordView | undefined
  /** From the checkpoint at its end; undefined if that is damaged. */
  readonly seal: Omit<SegmentRange, 'number' | 'firstOffset' | 'bytes'> | undefined
}

/** Returns the record header at a byte position, if there is one. */
type ViewAt = (at: number) => RecordView | undefined

/**
 * Rebuilds the list of a stream's sealed segments from their files.
 * @param entry the stream's catalogue entry
 * @throws DiskError where no file can be opened for want of descriptors
 */
export function rebuildSealed(disk: Disk, directory: string, entry: SegmentsEnd): RebuiltSegments {
  const { firstSegment, segment, streamId } = entry
  const all = Array.from({ length: segment - firstSegment + 1 }, (_, at) =>
    inspect(disk, directory, firstSegment + at, streamId),
  )
  const sealed: SegmentRange[] = []
  const lost: LostRange[] = []
  let firstOffset = entry.trimPoint.offset
  for (const [at, { number, bytes, seal }] of all.slice(0, -1).entries()) {
    const range = { number, firstOffset, bytes: bytes ?? 0 }
    const known = seal !== undefined && seal.nextOffset >= firstOffset
    const end = known ? seal : endOf(all.slice(at + 1), entry)
    sealed.push({ ...range, ...end })
    if (!known) {
      const reason = bytes === undefined ? 'is missing' : 'does not end with its checkpoint'
      lost.push({ ...range, nextOffset: end.nextOffset, reason: `segment ${number} ${reason}` })
    }
    firstOffset = end.nextOffset
  }
  return { sealed: withBytes(sealed, all, entry), lost: lost.filter(isSome) }
}

/** Returns the end of a segment without a sound seal: the start of the next readable segment. */
function endOf(next: readonly Found[], entry: SegmentsEnd): NonNullable<Found['seal']> {
  const first = next.find(found => found.first !== undefined)?.first
  const isAtHead = first === undefined && entry.segmentBytes === 0
  const chainHead = isAtHead ? entry.chainHead : (first?.previousHash ?? '')
  return {
    nextOffset: first?.offset ?? entry.segmentFirstOffset,
    chainHead: latin1ToHex(chainHead),
    recordHash: '',
    lastTimestamp: first?.timestamp ?? entry.lastTimestamp,
  }
}

/** Gives the bytes that the catalogue counts and no file holds to the first missing segment. */
function withBytes(
  sealed: readonly SegmentRange[],
  all: readonly Found[],
  { recordBytes, segmentBytes }: SegmentsEnd,
): SegmentRange[] {
  const missing = all.findIndex(({ bytes }) => bytes === undefined)
  const known = sealed.reduce((sum, { bytes }) => sum + bytes, segmentBytes)
  const rest = Math.max(0, recordBytes - known)
  return sealed.map((range, at) => (at === missing ? { ...range, bytes: rest } : range))
}

function isSome({ firstOffset, nextOffset }: LostRange): boolean {
  return nextOffset > firstOffset
}

function inspect(disk: Disk, directory: string, number: number, streamId: string): Found {
  const path = segmentPath(directory, number)
  try {
    return withFile(disk, path, 'read', file => {
      const bytes = disk.size(file)
      const view = (at: number) => viewRecord(readFully(disk, file, at, RECORD_HEADER_BYTES), 0)
      const last = Math.max(0, bytes - CHECKPOINT_RECORD_BYTES)
      const content = readFully(disk, file, last, CHECKPOINT_RECORD_BYTES)
      const record = decodeRecord(content, 0)
      const isSeal = record && decodeCheckpointBody(content, record)?.isLastOfSegment === true
      if (!isSeal) return { number, bytes, first: view(0), seal: undefined }
      const chainHead = latin1ToHex(chainHashOf(streamId, content, record))
      const first = view(0)
      const position = lastPosition(disk, directory, number, bytes, first, view, record.offset - 1)
      const data = lastData(view, position, record)
      const seal = { nextOffset: record.offset, chainHead, ...data }
      return { number, bytes, first, seal }
    })
  } catch (error) {
    if (!(error instanceof DiskError) || error.isSync || error.isForSpace) throw error
    return { number, bytes: undefined, first: undefined, seal: undefined }
  }
}

/** Returns the position of the last data record by the index, or by a scan if that is wrong. */
function lastPosition(
  disk: Disk,
  directory: string,
  number: number,
  bytes: number,
  first: RecordView | undefined,
  view: ViewAt,
  offset: number,
): number {
  const indexed =
    first === undefined ? undefined : lookUp(disk, directory, number, offset - first.offset)
  if (indexed !== undefined && view(indexed)?.offset === offset) return indexed
  return entryPosition(scanEntries(disk, directory, number, bytes).at(-1) ?? 0)
}

/** Returns hash and time of the last data record before the checkpoint `seal`, if readable. */
function lastData(
  view: ViewAt,
  position: number,
  seal: RecordView,
): Pick<SegmentRange, 'recordHash' | 'lastTimestamp'> {
  const data = view(position)
  const next = data?.offset === seal.offset - 1 ? view(position + data.end) : undefined
  if (data === undefined || next === undefined) {
    return { recordHash: '', lastTimestamp: seal.timestamp }
  }
  return { recordHash: latin1ToHex(next.previousHash), lastTimestamp: data.timestamp }
}
