import { assert } from '../../shared/assert.ts'
import { StoreError } from '../../shared/errors.ts'
import { historyMismatch } from '../../shared/format/cursor.ts'
import { RECORD_OVERHEAD_BYTES, RecordKind, viewRecord } from '../../shared/format/record.ts'
import type { ReadPlan, ReadRange } from '../../shared/protocol/shard.ts'
import type { StreamLog, TailFrame } from '../streams/stream-log.ts'
import { endsWithCheckpoint } from '../streams/stream-position.ts'
import { existing } from '../streams/stream-table.ts'
import { concatFrames } from './watchers.ts'

/**
 * Plans a read: which offsets to read, and how far the segments reach. Copies durable records from
 * memory into the plan, about `maxBytes` at most; a reader thread reads the rest from segments.
 * @throws StoreError stream_not_found, trimmed or beyond_end
 */
export function planRead(found: StreamLog | undefined, range: ReadRange): ReadPlan {
  const log = existing(found)
  const { low, high, since } = resolve(log, range)
  const { trimPoint, position, ...stored } = log.stored
  return {
    stream: log.name,
    streamId: log.id,
    closed: log.durableState !== 'open',
    firstOffset: log.durableFirstOffset,
    trimPoint,
    nextOffset: log.durableNextOffset,
    chainHead: log.durableChainHead,
    recordHash: log.durableRecordHash,
    low,
    high,
    since,
    stored: { ...stored, endsWithCheckpoint: endsWithCheckpoint(position, stored.nextOffset) },
    tail: copyTail(log, low, high, range),
  }
}

function resolve(
  log: StreamLog,
  range: ReadRange,
): { low: number; high: number; since: number | undefined } {
  const end = log.durableNextOffset
  const { since, verified } = range
  if (verified !== undefined) {
    const first = log.durableFirstOffset
    const high = Math.max(first, Math.min(verified.to ?? end, end))
    return { low: Math.min(Math.max(verified.from ?? first, first), high), high, since }
  }
  if (since !== undefined) {
    const stored = log.stored.nextOffset
    const first = log.durableFirstOffset
    if (stored > first && since <= log.stored.lastTimestamp) {
      return { low: first, high: end, since }
    }
    const frames = durableFrames(log)
    const frame = frames.find(({ timestamp }) => timestamp >= since)
    const found = Math.max(first, frame?.firstOffset ?? end)
    return { low: found, high: Math.min(end, found + range.limit), since: undefined }
  }
  const from =
    range.from === 'start' ? log.durableFirstOffset : range.from === 'end' ? end : range.from
  const firstOffset = log.durableFirstOffset
  if (from < firstOffset) {
    const stream = `stream ${JSON.stringify(log.name)}`
    const detail = `the first available offset is ${firstOffset} (requested ${from})`
    throw new StoreError('trimmed', `${stream} was trimmed: ${detail}`, { firstOffset })
  }
  if (from > end) {
    // The record before `from` was never assigned here, so the reader has read another history.
    if (range.after !== undefined && from > log.nextOffset) {
      throw historyMismatch(log.name, from, log.durableRecordHash, log.id)
    }
    const detail = `stream ${JSON.stringify(log.name)} ends before offset ${from}`
    throw new StoreError('beyond_end', `${detail}: its next offset is ${end}`, { nextOffset: end })
  }
  return range.direction === 'forward'
    ? { low: from, high: Math.min(end, from + range.limit), since }
    : { low: Math.max(firstOffset, from - range.limit), high: from, since }
}

function durableFrames(log: StreamLog): readonly TailFrame[] {
  const frames = log.tail ?? []
  const last = frames.at(-1)
  return last === undefined || last.endLsn <= log.durableLsn
    ? frames
    : frames.filter(frame => frame.endLsn <= log.durableLsn)
}

function copyTail(log: StreamLog, low: number, high: number, range: ReadRange): ReadPlan['tail'] {
  const frames = durableFrames(log)
  if (frames.length === 0) return null
  if (range.checkpoints !== undefined) return copyCheckpoints(log, frames, range.checkpoints)
  const isChain = range.wholeTail || range.fromCheckpoint
  const wanted = isChain
    ? chainFrames(log, frames, low, high, range)
    : pageFrames(log, frames, low, high, range)
  if (wanted === undefined) return null
  const [from, to] = wanted
  const taken = frames.slice(from, to + 1)
  const bytes = taken.reduce((sum, frame) => sum + frame.length, 0)
  return tailOf(frames[from - 1] ?? log.stored, taken, concatFrames(taken, bytes))
}

type Before = Pick<TailFrame, 'chainHead' | 'recordHash'>

function tailOf(
  { chainHead: previousHash, recordHash: previousRecordHash }: Before,
  taken: readonly TailFrame[],
  records: Uint8Array,
): ReadPlan['tail'] {
  const [first, last] = [taken[0] as TailFrame, taken.at(-1) as TailFrame]
  const { nextOffset, chainHead, recordHash } = last
  const { firstOffset } = first
  const end = { nextOffset, chainHead, recordHash }
  return { firstOffset, previousHash, previousRecordHash, ...end, records }
}

/** Returns the indexes of the first and the last frame that a page is chosen from. */
function pageFrames(
  log: StreamLog,
  frames: readonly TailFrame[],
  low: number,
  high: number,
  range: ReadRange,
): [number, number] | undefined {
  const isToEnd = high === log.durableNextOffset
  if (low === high && (isToEnd || low <= log.stored.nextOffset)) return undefined
  if (high <= log.stored.nextOffset) return undefined
  const first = lastIndexAtOrBelow(frames, low)
  // Checkpoints behind the last record belong to the end of the chain.
  const last = isToEnd ? frames.length - 1 : lastIndexAtOrBelow(frames, Math.max(low, high - 1))
  return narrow(frames, first, last, range)
}

/**
 * Returns the first and the last frame that a verified read of `[low, high)` needs: up to the first
 * signature above, or to the head. Returns undefined if that signature is in a segment.
 */
function chainFrames(
  log: StreamLog,
  frames: readonly TailFrame[],
  low: number,
  high: number,
  range: ReadRange,
): [number, number] | undefined {
  const { stored } = log
  const { lastCheckpoint } = stored.position
  if (low === high && !range.wholeTail) return undefined
  // Several checkpoints may lie behind the last record: a read to the end needs all of them.
  const isToEnd = high === log.durableNextOffset
  const isSigned = lastCheckpoint > 0 && lastCheckpoint >= high && range.since === undefined
  if (isSigned && !isToEnd && high <= stored.nextOffset) return undefined
  const first = low < stored.nextOffset ? 0 : firstOfChain(log, frames, low, range)
  const above = frames.findIndex(
    (frame, index) =>
      index >= first && frame.hasCheckpoint && frame.position.lastCheckpoint >= high,
  )
  return [first, above < 0 || isToEnd ? frames.length - 1 : above]
}

function firstOfChain(
  { durableFirstOffset }: StreamLog,
  frames: readonly TailFrame[],
  low: number,
  { wholeTail, fromCheckpoint }: ReadRange,
): number {
  const first = lastIndexAtOrBelow(frames, low)
  if (!wholeTail) return first
  // The reader starts at the trim point then: see `anchorOf` in read-stream.ts.
  if (!fromCheckpoint || low <= durableFirstOffset) return 0
  const anchor = frames.findLastIndex(
    (frame, index) => index <= first && frame.hasCheckpoint && frame.position.lastCheckpoint <= low,
  )
  return Math.max(0, anchor)
}

/** Copies checkpoints alone: `limit` of them, and the rest of the last one's offset. */
function copyCheckpoints(
  log: StreamLog,
  frames: readonly TailFrame[],
  { from, limit }: Exclude<ReadRange['checkpoints'], undefined>,
): ReadPlan['tail'] {
  const taken: Buffer[] = []
  let full: number | undefined
  for (const frame of frames) {
    const { lastCheckpoint } = frame.position
    if (!frame.hasCheckpoint || lastCheckpoint < from) continue
    taken.push(...checkpointsOf(frame, from))
    if (full !== undefined && lastCheckpoint > full) break
    if (taken.length >= limit) full ??= lastCheckpoint
  }
  return taken.length === 0 ? null : tailOf(log.stored, frames, Buffer.concat(taken))
}

function checkpointsOf({ chunk, at, length }: TailFrame, low: number): Buffer[] {
  const found: Buffer[] = []
  for (let next = at; next < at + length; ) {
    const record = viewRecord(chunk.bytes, next)
    assert(record !== undefined, 'a frame of the tail holds whole records')
    const isWanted = record.kind === RecordKind.Checkpoint && record.offset >= low
    if (isWanted) found.push(chunk.bytes.subarray(next, record.end))
    next = record.end
  }
  return found
}

/**
 * Returns the part of the frames `[first, last]` that holds `maxBytes` of bodies, counted from the
 * side that is read first.
 */
function narrow(
  frames: readonly TailFrame[],
  first: number,
  last: number,
  range: ReadRange,
): [number, number] {
  const step = range.direction === 'forward' ? 1 : -1
  const stop = step === 1 ? last : first
  let at = step === 1 ? first : last
  for (let bytes = 0; at !== stop; at += step) {
    bytes += bodyBytes(frames[at] as TailFrame)
    if (bytes > range.maxBytes) break
  }
  return step === 1 ? [first, at] : [at, last]
}

/** Returns the bytes of a frame's headers and bodies, a good enough estimate of its bodies. */
function bodyBytes(frame: TailFrame): number {
  return frame.length - (frame.nextOffset - frame.firstOffset) * RECORD_OVERHEAD_BYTES
}

/** Index of the last frame that starts at or below `offset`; 0 when none does. */
function lastIndexAtOrBelow(frames: readonly TailFrame[], offset: number): number {
  let low = 0
  let high = frames.length - 1
  while (low < high) {
    const middle = (low + high + 1) >>> 1
    if ((frames[middle] as TailFrame).firstOffset <= offset) low = middle
    else high = middle - 1
  }
  return low
}
