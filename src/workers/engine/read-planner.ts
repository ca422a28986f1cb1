import { StoreError } from '../../shared/errors.ts'
import { RECORD_OVERHEAD_BYTES } from '../../shared/format/record.ts'
import type { ReadPlan, ReadRange } from '../../shared/protocol/shard.ts'
import type { StreamLog, TailFrame } from '../streams/stream-log.ts'
import { endsWithCheckpoint } from '../streams/stream-position.ts'
import { existing } from '../streams/stream-table.ts'
import { concatFrames } from './watchers.ts'

/**
 * Where the records of a read are. Bytes from memory are copied into the plan, at most about
 * `maxBytes` of them; what is in segments is left to a reader thread. Only durable records are in
 * it, whatever else the tail holds.
 * @throws StoreError stream_not_found, trimmed or beyond_end
 */
export function planRead(found: StreamLog | undefined, range: ReadRange): ReadPlan {
  const log = existing(found)
  const { low, high, since } = resolve(log, range)
  const { nextOffset, chainHead, segment, segmentFirstOffset, segmentBytes, position } = log.stored
  return {
    stream: log.name,
    streamId: log.id,
    closed: log.durableState !== 'open',
    firstOffset: log.durableFirstOffset,
    trimPoint: log.stored.trimPoint,
    nextOffset: log.durableNextOffset,
    chainHead: log.durableChainHead,
    low,
    high,
    since,
    stored: {
      nextOffset,
      chainHead,
      segment,
      segmentFirstOffset,
      segmentBytes,
      endsWithCheckpoint: endsWithCheckpoint(position, nextOffset),
    },
    tail: copyTail(log, low, high, range),
  }
}

function resolve(
  log: StreamLog,
  range: ReadRange,
): { low: number; high: number; since: number | undefined } {
  const end = log.durableNextOffset
  const { since } = range
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
    throw new StoreError('trimmed', `records are kept from ${firstOffset} on`, { firstOffset })
  }
  if (from > end) {
    throw new StoreError('beyond_end', `the next offset is ${end}`, { nextOffset: end })
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
  // Checkpoints behind the last record belong to the end of the chain.
  const isToEnd = high === log.durableNextOffset
  const isInTail = high > log.stored.nextOffset || (isToEnd && range.wholeTail)
  if (frames.length === 0 || !isInTail || (low === high && !range.wholeTail)) return null
  const first = range.wholeTail ? 0 : firstIndex(frames, low, range)
  const last = isToEnd ? frames.length - 1 : lastIndexAtOrBelow(frames, high - 1)
  const isNarrow = !range.wholeTail && !range.fromCheckpoint
  const [from, to] = isNarrow ? narrow(frames, first, last, range) : [first, last]
  const taken = frames.slice(from, to + 1)
  const bytes = taken.reduce((sum, frame) => sum + frame.length, 0)
  return {
    firstOffset: taken[0]?.firstOffset ?? high,
    previousHash: frames[from - 1]?.chainHead ?? log.stored.chainHead,
    chainHead: taken.at(-1)?.chainHead ?? log.stored.chainHead,
    records: concatFrames(taken, bytes),
  }
}

/** Of the frame that a read starts in, or of the nearest one below it with a checkpoint. */
function firstIndex(frames: readonly TailFrame[], low: number, range: ReadRange): number {
  const first = lastIndexAtOrBelow(frames, low)
  if (!range.fromCheckpoint) return first
  const found = frames.findLastIndex(
    (frame, index) => index <= first && frame.hasCheckpoint && frame.position.lastCheckpoint <= low,
  )
  return Math.max(0, found)
}

/**
 * As many of the frames `[first, last]` as `maxBytes` of bodies can want, from the side that is
 * read first.
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

/**
 * Of headers and bodies together, so at least half of what a frame's bodies are in any real use.
 */
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
