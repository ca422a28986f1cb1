import type { Operation, OperationType } from '../../shared/format/operation.ts'
import type { StreamLog, TailFrame } from './stream-log.ts'
import { afterRecords } from './stream-position.ts'
import type { TailArena } from './tail-arena.ts'

export type AppendOperation = Extract<Operation, { type: typeof OperationType.Append }>

/**
 * The tail's frame of an append as the journal has it, which follows `log`'s head.
 * @param endLsn LSN of the end of the frame that makes it hold
 */
export function keepAppend(
  append: AppendOperation,
  log: StreamLog,
  arena: Pick<TailArena, 'keep'>,
  bytes: Buffer,
  timestamp: number,
  endLsn: number,
): TailFrame {
  const { firstOffset, chainHead, producer, recordsAt, end } = append
  const nextOffset = firstOffset + append.count
  const { position, recordHash } = afterRecords(log, bytes, recordsAt, end, chainHead)
  const result = { firstOffset, nextOffset, timestamp, recordHash, chainHead }
  return {
    firstOffset,
    nextOffset,
    timestamp,
    chainHead,
    recordHash,
    position,
    hasCheckpoint: position.lastCheckpoint !== log.position.lastCheckpoint || append.count === 0,
    producer: producer && log.nextProducer(producer, result),
    endLsn,
    length: end - recordsAt,
    ...arena.keep(bytes, recordsAt, end, endLsn),
  }
}
