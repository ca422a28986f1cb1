import { latin1ToHex } from '../../shared/format/bytes.ts'
import { chainHashOf } from '../../shared/format/chain.ts'
import { StoreError } from '../../shared/errors.ts'
import { expandRecord } from '../../shared/format/expand.ts'
import { entryPosition, INDEX_PAGE_ENTRIES } from '../../shared/format/index-page.ts'
import { segmentPath, streamPath } from '../../shared/format/paths.ts'
import {
  claimedRecordBytes,
  decodeRecord,
  RECORD_END,
  RECORD_MAGIC,
  type RecordView,
} from '../../shared/format/record.ts'
import { KIB, MIB } from '../../shared/limits.ts'
import type { StreamDamage } from '../../shared/protocol/streams.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { isUnknown, lookUp, readPage } from '../streams/offset-index.ts'
import { SegmentFile } from '../streams/segment-file.ts'
import type { StreamLog } from '../streams/stream-log.ts'
import { endsWithCheckpoint } from '../streams/stream-position.ts'

// Everything below a stream's stored extent was durable before the extent was committed. A crash
// therefore never leaves a segment shorter than its extent, or with another last record. A file
// longer than its extent is sound: its end comes from a write-back that did not commit.
//
// The last record is found from its end, by its marker. One that is larger than the largest window
// is checked by its header and its end marker alone; readers check the rest.

/** Bytes read from the end of a segment: the second size only where the first does not suffice. */
const WINDOWS_BYTES = [64 * KIB, MIB] as const
/** Most starts of a record that are tried in a window. A body may hold any number of markers. */
const STARTS_MAX = 16
const MAGIC = Buffer.alloc(4)
MAGIC.writeUInt32LE(RECORD_MAGIC)
const END = Buffer.alloc(4)
END.writeUInt32LE(RECORD_END)

/** What the end of a segment is. `unknown` is never named as damage. */
type Finding = 'sound' | 'damaged' | 'other' | 'unknown'

type Lost = Pick<StreamDamage, 'firstOffset' | 'reason'>

/**
 * Checks the last stored record of each stream's active segment, and returns the damage found.
 * Reads one window a sound stream, and writes nothing. Streams that cannot be checked for want of
 * file descriptors are left to their readers.
 */
export function checkTails(disk: Disk, logs: Iterable<StreamLog>): StreamDamage[] {
  const damage: StreamDamage[] = []
  for (const log of logs) {
    const { segmentBytes, nextOffset } = log.stored
    if (typeof log.fault === 'string' || segmentBytes === 0 || log.durableFirstOffset >= nextOffset)
      continue
    const lost = checkTail(disk, log)
    if (lost === undefined) continue
    const firstOffset = Math.max(lost.firstOffset, log.durableFirstOffset)
    const stream = { stream: log.name, streamId: latin1ToHex(log.id) }
    damage.push({ ...stream, firstOffset, nextOffset, reason: lost.reason })
  }
  return damage
}

function checkTail(disk: Disk, log: StreamLog): Lost | undefined {
  const { segment, segmentBytes } = log.stored
  const path = segmentPath(streamPath(log.name, log.id), segment)
  try {
    const file = new SegmentFile(disk, path, segmentBytes)
    try {
      return file.available < segmentBytes ? cut(disk, log, file) : checkEnd(disk, log, file)
    } finally {
      file.close()
    }
  } catch (error) {
    if (error instanceof DiskError && error.isForSpace) return undefined
    throw error
  }
}

/** Names the records that a missing or short file lacks, as far as a page of the index tells. */
function cut(disk: Disk, { name, id, stored }: StreamLog, { available, fault }: SegmentFile): Lost {
  const { segment, segmentBytes, segmentFirstOffset, nextOffset } = stored
  if (available === 0) {
    const reason = `segment ${segment}: ${fault ?? 'the segment is cut'}`
    return { firstOffset: segmentFirstOffset, reason }
  }
  const reason = `segment ${segment} ends after ${available} of ${segmentBytes} bytes`
  const page = Math.floor(Math.max(0, nextOffset - 1 - segmentFirstOffset) / INDEX_PAGE_ENTRIES)
  const entries = readPage(disk, streamPath(name, id), segment, page) ?? []
  const first = page * INDEX_PAGE_ENTRIES
  const last = entries.findLastIndex(
    (entry, at) => !isUnknown(entry, first + at) && entryPosition(entry) <= available,
  )
  const lost = last < 0 ? segmentFirstOffset : segmentFirstOffset + first + last
  return { firstOffset: Math.min(lost, nextOffset), reason }
}

function checkEnd(disk: Disk, log: StreamLog, file: SegmentFile): Lost | undefined {
  const { segment, nextOffset, position } = log.stored
  const finding = findLast(disk, log, file)
  if (finding === 'sound' || finding === 'unknown') return undefined
  const isCheckpoint = endsWithCheckpoint(position, nextOffset)
  const last = isCheckpoint ? `checkpoint ${nextOffset}` : `record ${nextOffset - 1}`
  const why =
    finding === 'other'
      ? 'its hash is not the one in the catalogue'
      : (file.fault ?? 'it does not check')
  const reason = `segment ${segment} should end with ${last}: ${why}`
  return { firstOffset: isCheckpoint ? nextOffset : nextOffset - 1, reason }
}

function findLast(disk: Disk, log: StreamLog, file: SegmentFile): Finding {
  const { segmentBytes } = log.stored
  let from = 0
  for (const size of WINDOWS_BYTES) {
    from = Math.max(0, segmentBytes - size)
    const window = file.read(from, segmentBytes - from)
    if (!window.subarray(-END.length).equals(END)) return 'damaged'
    const found = findIn(window, log)
    if (found !== 'damaged') return found
    if (from === 0) return 'damaged'
  }
  return checkLarge(disk, log, file, from)
}

/** Looks for the last record in the last bytes of its segment. */
function findIn(window: Buffer, log: StreamLog): Finding {
  let starts = 0
  let hasOther = false
  for (let at = window.lastIndexOf(MAGIC); at >= 0; at = previous(window, at)) {
    if (at + claimedRecordBytes(window, at) !== window.length) continue
    starts += 1
    if (starts > STARTS_MAX) return 'unknown'
    const record = decodeRecord(window, at)
    if (record === undefined) continue
    if (isLast(log, window, record)) return 'sound'
    hasOther = true
  }
  return hasOther ? 'other' : 'damaged'
}

function previous(window: Buffer, at: number): number {
  return at === 0 ? -1 : window.lastIndexOf(MAGIC, at - 1)
}

/** Whether a record that checks is the one that the chain stands at. */
function isLast({ id, stored }: StreamLog, bytes: Buffer, record: RecordView): boolean {
  if (record.rawLength > WINDOWS_BYTES[1]) return true // would take long to expand
  try {
    const expanded = expandRecord({ bytes, record })
    return chainHashOf(id, expanded.bytes, expanded.record) === stored.chainHead
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    return error.code === 'codec_unavailable'
  }
}

/** Checks the header of a last record that starts before `from`, where the index knows it. */
function checkLarge(disk: Disk, log: StreamLog, file: SegmentFile, from: number): Finding {
  const { segment, segmentFirstOffset, segmentBytes, nextOffset, position } = log.stored
  const last = nextOffset - 1
  const directory = streamPath(log.name, log.id)
  const start = lookUp(disk, directory, segment, last - segmentFirstOffset)
  if (start === undefined) return 'unknown'
  if (start >= from || endsWithCheckpoint(position, nextOffset)) return 'damaged'
  const claimed = file.claimedAt(start)
  const endsThere = claimed !== undefined && start + claimed.end - claimed.at === segmentBytes
  return endsThere && claimed.offset === last ? 'unknown' : 'damaged'
}
