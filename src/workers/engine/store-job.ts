import {
  encodeStreamEntry,
  NOTHING_UNWRITTEN,
  streamEntryBytesMax,
} from '../../shared/format/catalogue.ts'
import { type StoreJob, StreamFlag } from '../../shared/protocol/checkpointer.ts'
import type { StreamLog } from '../streams/stream-log.ts'
import { endsWithCheckpoint } from '../streams/stream-position.ts'
import type { EncodedBatch } from './batch-encoder.ts'
import { FrameList } from './frame-list.ts'

/**
 * The job that brings a stream's segments up to its assigned end, and puts `memory`'s records
 * behind it. Nothing is trimmed by it: it has no commit.
 */
export function storeJobOf(
  id: number,
  log: StreamLog,
  memory: SharedArrayBuffer,
  { chainHead, position }: EncodedBatch,
  timestamp: number,
  count: number,
): StoreJob {
  const { stored } = log
  const config = JSON.stringify(log.durableConfig)
  const entries = Buffer.allocUnsafeSlow(streamEntryBytesMax(log.name, config, []))
  const end = encodeStreamEntry(entries, 0, {
    name: log.name,
    config,
    streamId: log.id,
    chainHead,
    recordHash: stored.recordHash,
    createdAt: log.createdAt,
    lastTimestamp: timestamp,
    firstOffset: log.durableFirstOffset,
    nextOffset: log.nextOffset + count,
    recordBytes: stored.recordBytes,
    segment: stored.segment,
    segmentFirstOffset: stored.segmentFirstOffset,
    segmentBytes: stored.segmentBytes,
    closed: log.durableState === 'closed',
    lastCheckpoint: position.lastCheckpoint,
    segmentSince: position.segmentSince,
    trimPoint: stored.trimPoint,
    firstSegment: stored.firstSegment,
    producers: [],
    unwritten: NOTHING_UNWRITTEN,
    creationHash: log.creationHash,
    stateCheckpoint: log.stateCheckpoint,
  })
  const frames = new FrameList()
  const endsSo = endsWithCheckpoint(stored.position, stored.nextOffset)
  frames.add(log.tail ?? [], endsSo ? StreamFlag.EndsWithCheckpoint : 0)
  frames.addMemory(memory)
  return {
    kind: 'store',
    id,
    entries: entries.subarray(0, end),
    frames: Uint32Array.from(frames.numbers),
    chunks: frames.chunks,
  }
}
