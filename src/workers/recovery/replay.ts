import { decodeFrame, FrameFlag } from '../../shared/format/frame.ts'
import { decodeOperation, type Operation, OperationType } from '../../shared/format/operation.ts'
import type { StreamConfig } from '../../shared/protocol/streams.ts'
import type { JournalCheckpoint } from '../engine/journal-checkpoint.ts'
import { StreamLog, type TailFrame } from '../streams/stream-log.ts'
import type { StreamTable } from '../streams/stream-table.ts'
import type { TailArena } from '../streams/tail-arena.ts'
import { BLOCK_HEADER_BYTES } from '../../shared/format/block.ts'
import { type Block, JournalDamage } from './journal-walk.ts'

/** What replay has applied. */
export type ReplayCounts = { blocks: number; frames: number; records: number; bytes: number }

/**
 * Applies the frames of valid blocks to the streams, in order, as the appender and the durable LSN
 * did in the life before. Idempotent by offset and stream id: an operation that does not follow
 * what is there is damage, never skipped.
 */
export class Replay {
  readonly #table: StreamTable
  readonly #arena: TailArena
  readonly #checkpoint: JournalCheckpoint
  readonly counts: ReplayCounts = { blocks: 0, frames: 0, records: 0, bytes: 0 }

  constructor(table: StreamTable, arena: TailArena, checkpoint: JournalCheckpoint) {
    this.#table = table
    this.#arena = arena
    this.#checkpoint = checkpoint
  }

  /** @throws JournalDamage when a frame makes no sense; what came before it stays applied */
  apply(block: Block): void {
    const { body, header } = block
    this.counts.blocks += 1
    this.counts.bytes += body.length
    for (let at = 0; at < body.length; ) {
      const frame = decodeFrame(body, at, body.length)
      if (frame === undefined) throw damage(block, at, 'a frame does not check')
      this.counts.frames += 1
      const endLsn = header.lsn + BLOCK_HEADER_BYTES + frame.end
      for (let op = frame.payloadAt; op < frame.end; ) {
        const operation = decodeOperation(body, op, frame.end)
        if (operation === undefined) throw damage(block, op, 'an operation makes no sense')
        if (frame.flags !== FrameFlag.Committed)
          throw damage(block, op, 'a barrier carries nothing')
        this.#applyOperation(operation, body, frame.timestamp, endLsn, block)
        op = operation.end
      }
      at = frame.end
    }
  }

  #applyOperation(
    operation: Operation,
    body: Buffer,
    timestamp: number,
    endLsn: number,
    block: Block,
  ): void {
    if (operation.type === OperationType.Create) {
      const config = JSON.parse(operation.config) as StreamConfig
      const log = new StreamLog(operation.name, operation.streamId, operation.createdAt, config)
      this.#table.assign(log)
      this.#table.makeDurable(log)
      return this.#checkpoint.noteChanged(log)
    }
    const log = this.#table.byId(operation.streamId)
    if (log === undefined) throw damage(block, operation.end, 'an operation on an unknown stream')
    switch (operation.type) {
      case OperationType.Append: {
        const frame = this.#keep(operation, log, body, timestamp, endLsn, block)
        log.assign(frame)
        log.makeDurable(frame)
        break
      }
      case OperationType.Configure:
        log.config = log.durableConfig = JSON.parse(operation.config) as StreamConfig
        log.manifestStale = true
        break
      case OperationType.Close:
        log.state = log.durableState = 'closed'
        log.manifestStale = true
        break
      case OperationType.Delete:
        log.state = log.durableState = 'deleted'
        this.#table.unassign(log)
        this.#table.remove(log)
        return this.#checkpoint.noteDeleted(log)
    }
    this.#checkpoint.noteChanged(log)
  }

  #keep(
    append: Extract<Operation, { type: typeof OperationType.Append }>,
    log: StreamLog,
    body: Buffer,
    timestamp: number,
    endLsn: number,
    block: Block,
  ): TailFrame {
    if (append.firstOffset !== log.nextOffset) {
      throw damage(block, append.recordsAt, `offset ${append.firstOffset} after ${log.nextOffset}`)
    }
    this.counts.records += append.count
    return {
      firstOffset: append.firstOffset,
      nextOffset: append.firstOffset + append.count,
      timestamp,
      chainHead: append.chainHead,
      endLsn,
      length: append.end - append.recordsAt,
      ...this.#arena.keep(body, append.recordsAt, append.end, endLsn),
    }
  }
}

function damage(block: Block, at: number, reason: string): JournalDamage {
  const position = block.position + BLOCK_HEADER_BYTES + at
  return new JournalDamage(`journal file ${block.file}, byte ${position}: ${reason}`)
}
