import { assert } from '../../shared/assert.ts'
import type { StreamEntry } from '../../shared/format/catalogue.ts'
import { decodeFrame, FRAME_HEADER_BYTES, FrameFlag, sealFrame } from '../../shared/format/frame.ts'
import {
  appendPrefixBytes,
  decodeOperation,
  encodeAppendPrefix,
  OperationType,
} from '../../shared/format/operation.ts'
import { RecordKind, viewRecord } from '../../shared/format/record.ts'
import { keepAppend } from './journaled-append.ts'
import type { StreamLog } from './stream-log.ts'
import type { Chunk } from './tail-arena.ts'

// The records of a stream whose files cannot be written. The write-back puts them into the
// catalogue as journal frames, so that the journal below its commit can be freed. A start loads
// them into memory before it replays the journal.

const PREFIX_BYTES = FRAME_HEADER_BYTES + appendPrefixBytes(undefined)

/**
 * Encodes the frames of a stream's tail as journal frames. Leaves out producers, because the
 * stream's entry has them.
 * @param chainHead chain hash after the last frame, latin1
 */
export function encodeUnwritten(
  streamId: string,
  frames: readonly Buffer[],
  chainHead: string,
): Buffer {
  const bytes = Buffer.allocUnsafeSlow(unwrittenBytes(frames)).fill(0)
  let at = 0
  for (const [index, records] of frames.entries()) {
    const next = frames[index + 1]
    const head = next === undefined ? chainHead : viewRecord(next, 0)?.previousHash
    assert(head !== undefined, 'a frame of the tail begins with a record')
    const { firstOffset, count, timestamp } = measure(records)
    const length = PREFIX_BYTES - FRAME_HEADER_BYTES + records.length
    const fields = { firstOffset, count, chainHead: head }
    encodeAppendPrefix(bytes, at + FRAME_HEADER_BYTES, streamId, fields, records.length)
    records.copy(bytes, at + PREFIX_BYTES)
    at = sealFrame(bytes, at, FrameFlag.Committed, timestamp, length)
  }
  return bytes
}

/** Returns the length of the encoded frames. */
export function unwrittenBytes(frames: readonly Buffer[]): number {
  return frames.reduce((sum, records) => sum + PREFIX_BYTES + records.length, 0)
}

/**
 * Loads unwritten records into the tail of `log` as durable, in memory of their own. Returns false
 * if they do not follow the stored records.
 * @param endLsn LSN of the catalogue's commit
 */
export function keepUnwritten(log: StreamLog, unwritten: Uint8Array, endLsn: number): boolean {
  const memory = new SharedArrayBuffer(unwritten.length)
  const bytes = Buffer.from(memory)
  bytes.set(unwritten)
  const chunk: Chunk = { memory, bytes, used: bytes.length, endLsn }
  const arena = { keep: (_: Buffer, at: number) => ({ chunk, at }) }
  for (let at = 0; at < bytes.length; ) {
    const frame = decodeFrame(bytes, at, bytes.length)
    if (frame === undefined) return false
    const operation = decodeOperation(bytes, frame.payloadAt, frame.end)
    if (operation?.type !== OperationType.Append) return false
    if (operation.streamId !== log.id || operation.firstOffset !== log.nextOffset) return false
    const kept = keepAppend(operation, log, arena, bytes, frame.timestamp, endLsn)
    log.assign(kept)
    log.makeDurable(kept)
    at = frame.end
  }
  log.keptLsn = endLsn
  return true
}

/** Returns where a stream's records end, including unwritten ones. */
export function endWithUnwritten(
  entry: Pick<StreamEntry, 'nextOffset' | 'chainHead' | 'unwritten'>,
): Pick<StreamEntry, 'nextOffset' | 'chainHead'> {
  let { nextOffset, chainHead } = entry
  const bytes = Buffer.from(entry.unwritten)
  for (let at = 0; at < bytes.length; ) {
    const frame = decodeFrame(bytes, at, bytes.length)
    const operation = frame && decodeOperation(bytes, frame.payloadAt, frame.end)
    if (frame === undefined || operation?.type !== OperationType.Append) break
    nextOffset = operation.firstOffset + operation.count
    chainHead = operation.chainHead
    at = frame.end
  }
  return { nextOffset, chainHead }
}

/** Returns whether an unwritten record of a stream follows the element with this hash, latin1. */
export function goesOnUnwritten(
  { unwritten }: Pick<StreamEntry, 'unwritten'>,
  chainHead: string,
): boolean {
  const bytes = Buffer.from(unwritten)
  for (let at = 0; at < bytes.length; ) {
    const frame = decodeFrame(bytes, at, bytes.length)
    const operation = frame && decodeOperation(bytes, frame.payloadAt, frame.end)
    if (frame === undefined || operation?.type !== OperationType.Append) break
    for (let recordAt = operation.recordsAt; recordAt < operation.end; ) {
      const record = viewRecord(bytes, recordAt)
      if (record === undefined) break
      if (record.previousHash === chainHead) return true
      recordAt = record.end
    }
    at = frame.end
  }
  return false
}

type Measured = { firstOffset: number; count: number; timestamp: number }

function measure(records: Buffer): Measured {
  let count = 0
  let timestamp = 0
  let firstOffset: number | undefined
  for (let at = 0; at < records.length; ) {
    const record = viewRecord(records, at)
    assert(record !== undefined, 'a frame of the tail holds whole records')
    firstOffset ??= record.offset
    timestamp = record.timestamp
    if (record.kind === RecordKind.Data) count += 1
    at = record.end
  }
  assert(firstOffset !== undefined, 'a frame of the tail is not empty')
  return { firstOffset, count, timestamp }
}
