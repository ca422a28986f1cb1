import {
  decodeFrame,
  type Frame,
  FrameFlag,
  type FrameTransaction,
} from '../../shared/format/frame.ts'
import { decodeOperation, type Operation, OperationType } from '../../shared/format/operation.ts'
import type { TransactionLedger } from '../engine/transaction-ledger.ts'
import { assignTransaction, stageFrame, streamOf } from '../engine/staged-transaction.ts'
import { type AppendOperation, keepAppend } from '../streams/journaled-append.ts'
import type { JournalCheckpoint } from '../engine/journal-checkpoint.ts'
import { afterRecords } from '../streams/stream-position.ts'
import { readConfig } from '../streams/stream-config.ts'
import type { StreamLog } from '../streams/stream-log.ts'
import type { StreamTable } from '../streams/stream-table.ts'
import type { TailArena } from '../streams/tail-arena.ts'
import { BLOCK_HEADER_BYTES } from '../../shared/format/block.ts'
import { type Block, JournalDamage } from './journal-walk.ts'
import type { HeldOperations } from './journaled-streams.ts'
import { type SignedChange, signedChangeIn, signsChange } from './signed-change.ts'

/** What replay has applied. */
export type ReplayCounts = { blocks: number; frames: number; records: number; bytes: number }

/**
 * Hears of an operation that does not follow the state of its stream, so that the records below
 * `nextOffset` are lost. @param streamId latin1
 */
export type LostListener = (streamId: string, nextOffset: number) => void

/** The state that replay brings up to the journal's end. */
export type ReplayedState = {
  readonly table: StreamTable
  readonly arena: TailArena
  readonly checkpoint: JournalCheckpoint
  readonly ledger: TransactionLedger
}

/**
 * Applies the frames of valid blocks to the streams, in order, as the engine did before the
 * restart. An operation that does not follow the state of its stream is damage, never skipped.
 */
export class Replay {
  readonly #shard: number
  readonly #table: StreamTable
  readonly #arena: TailArena
  readonly #checkpoint: JournalCheckpoint
  readonly #ledger: TransactionLedger
  readonly #onLost: LostListener | undefined
  readonly #held: HeldOperations | undefined
  /** Pending transactions whose operations the streams already hold → coordinator. */
  readonly #heldPending = new Map<number, number>()
  readonly counts: ReplayCounts = { blocks: 0, frames: 0, records: 0, bytes: 0 }

  /**
   * @param onLost called with operations that do not follow, instead of a failure; for a repair
   * @param held operations that the streams already hold, if the catalogue was rebuilt
   */
  constructor(
    shard: number,
    { table, arena, checkpoint, ledger }: ReplayedState,
    onLost?: LostListener,
    held?: HeldOperations,
  ) {
    this.#shard = shard
    this.#table = table
    this.#arena = arena
    this.#checkpoint = checkpoint
    this.#ledger = ledger
    this.#onLost = onLost
    this.#held = held
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
      if (frame.witness !== undefined) this.#ledger.noteWitness(frame.witness)
      else if (frame.transaction === undefined) this.#applyFrame(frame, endLsn, block)
      else this.#applyTransaction(frame, frame.transaction, endLsn, block)
      at = frame.end
    }
  }

  #applyFrame(frame: Frame, endLsn: number, block: Block): void {
    const { body } = block
    const signed = this.#onLost && signedChangeIn(body, frame)
    if (signed !== undefined && !this.#mayChange(signed, body)) return this.#loseChange(signed)
    for (let op = frame.payloadAt; op < frame.end; ) {
      const operation = decodeOperation(body, op, frame.end)
      if (operation === undefined) throw damage(block, op, 'an operation cannot be decoded')
      if (frame.flags !== FrameFlag.Committed) throw damage(block, op, 'a barrier carries nothing')
      if (this.#held?.has(operation) === true) this.#noteHeld(operation, body, frame.timestamp)
      else this.#applyOperation(operation, body, frame.timestamp, endLsn, block)
      op = operation.end
    }
  }

  /**
   * Returns whether a change after a gap in the journal can be applied: its checkpoint continues
   * the stream and signs the new state. Without that signature the whole stream would be refused.
   */
  #mayChange(signed: SignedChange, body: Buffer): boolean {
    const { checkpoint } = signed
    const log = this.#table.byId(checkpoint.streamId)
    if (log === undefined) return true // named like any other operation on it
    const isStored = this.#held?.hasNext(log.id) === true || follows(checkpoint, log)
    return isStored && signsChange(log, signed, body)
  }

  #loseChange({ checkpoint }: SignedChange): void {
    if (this.#held?.has(checkpoint) === true) return
    this.#onLost?.(checkpoint.streamId, checkpoint.firstOffset)
  }

  #applyTransaction(
    { flags, timestamp, payloadAt, end }: Frame,
    { id, coordinator }: FrameTransaction,
    endLsn: number,
    block: Block,
  ): void {
    const { body } = block
    if (flags === FrameFlag.Pending) {
      const payload = this.#rest(body, [payloadAt, end], timestamp)
      if (payload.length === 0 && end > payloadAt)
        return void this.#heldPending.set(id, coordinator)
      const staged = stageFrame(this.#table, { id, coordinator, timestamp, payload, endLsn })
      if (staged === undefined || this.#ledger.staged(id) !== undefined) {
        if (this.#onLost !== undefined) return this.#lose(payload, [0, payload.length])
        throw damage(block, payloadAt, 'a pending transaction does not fit its streams')
      }
      this.#table.promise(staged.creates)
      return this.#ledger.stage(staged)
    }
    if (flags === FrameFlag.Committed && end > payloadAt) {
      if (this.#held === undefined) {
        return this.#commit(body, [payloadAt, end], timestamp, endLsn, block)
      }
      const rest = this.#rest(body, [payloadAt, end], timestamp)
      if (rest.length > 0) this.#commit(rest, [0, rest.length], timestamp, endLsn, block)
      return
    }
    const staged = this.#ledger.staged(id)
    this.#table.promise(-(staged?.creates ?? 0))
    this.#ledger.resolve(id)
    if (flags === FrameFlag.Aborted) return this.#ledger.settle(id, 'abort', false)
    if (staged !== undefined) {
      const { payload } = staged
      this.#commit(payload, [0, payload.length], staged.timestamp, endLsn, block)
    }
    // Only the shard that decides writes one for a transaction that is not staged.
    const decidedBy = staged?.coordinator ?? this.#heldPending.get(id) ?? this.#shard
    this.#ledger.settle(id, 'commit', decidedBy === this.#shard)
  }

  /** Returns a copy of the operations that the streams do not hold yet, and notes the others. */
  #rest(body: Buffer, [from, to]: readonly [number, number], timestamp: number): Buffer {
    const held = this.#held
    if (held === undefined) return Buffer.from(body.subarray(from, to))
    const rest: Buffer[] = []
    let at = from
    for (const operation of operationsIn(body, [from, to])) {
      if (held.has(operation)) this.#noteHeld(operation, body, timestamp)
      else rest.push(body.subarray(at, operation.end))
      at = operation.end
    }
    return Buffer.concat([...rest, body.subarray(at, to)])
  }

  /**
   * Takes what only the journal has of an append that a stream already holds: the producer, and
   * whether its checkpoint signs a change.
   */
  #noteHeld(operation: Operation, body: Buffer, timestamp: number): void {
    const log = this.#table.byId(operation.streamId)
    const isAppend = operation.type === OperationType.Append
    if (log === undefined || !(isAppend || operation.type === OperationType.Reference)) return
    if (isAppend) log.noteStateCheckpoint(body, operation.recordsAt)
    const { producer, firstOffset, count, chainHead } = isAppend ? operation : operation.reference
    if (producer === undefined) return
    if (this.#held?.knowsProducer(operation.streamId, firstOffset) === true) return
    const recordHash = isAppend
      ? afterRecords(log, body, operation.recordsAt, operation.end, chainHead).recordHash
      : operation.reference.recordHash
    const nextOffset = firstOffset + count
    const state = log.nextProducer(producer, {
      firstOffset,
      nextOffset,
      timestamp,
      recordHash,
      chainHead,
    })
    log.producers?.assign(state)
    log.producers?.makeDurable(state)
  }

  #commit(
    payload: Buffer,
    range: readonly [number, number],
    timestamp: number,
    endLsn: number,
    block: Block,
  ): void {
    if (this.#onLost !== undefined && !this.#mayCommit(payload, range)) {
      return this.#lose(payload, range)
    }
    const appended = assignTransaction(this.#table, this.#arena, payload, range, timestamp, endLsn)
    if (appended === undefined) {
      throw damage(block, 0, 'a committed transaction does not fit its streams')
    }
    for (const { log, frame, creates } of appended) {
      if (creates) this.#table.makeDurable(log)
      log.makeDurable(frame)
      this.counts.records += frame.nextOffset - frame.firstOffset
      this.#checkpoint.noteChanged(log)
    }
  }

  /** Whether every append of a transaction follows the state of its stream. */
  #mayCommit(payload: Buffer, range: readonly [number, number]): boolean {
    const created = new Set<string>()
    return operationsIn(payload, range).every(operation => {
      if (operation.type === OperationType.Create) return created.add(operation.streamId).size > 0
      const log = this.#table.byId(operation.streamId)
      return created.has(operation.streamId) || follows(operation, log)
    })
  }

  #lose(payload: Buffer, range: readonly [number, number]): void {
    for (const operation of operationsIn(payload, range)) {
      this.#onLost?.(operation.streamId, endOf(operation))
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
      const log = streamOf(operation)
      this.#table.assign(log)
      this.#table.makeDurable(log)
      return this.#checkpoint.noteChanged(log)
    }
    const log = this.#table.byId(operation.streamId)
    if (this.#onLost !== undefined && !follows(operation, log)) {
      return this.#onLost(operation.streamId, endOf(operation))
    }
    if (log === undefined) throw damage(block, operation.end, 'an operation on an unknown stream')
    switch (operation.type) {
      case OperationType.Append:
        this.#append(operation, log, body, timestamp, endLsn, block)
        break
      case OperationType.Configure:
        log.config = log.durableConfig = readConfig(operation.config)
        log.manifestStale = true
        break
      case OperationType.Reference: {
        const { reference } = operation
        const { firstOffset, count, recordHash, chainHead } = reference
        if (firstOffset !== log.nextOffset) {
          throw damage(block, operation.end, wrongOffset(log, firstOffset))
        }
        const nextOffset = firstOffset + count
        const result = { firstOffset, nextOffset, timestamp, recordHash, chainHead }
        const producer = reference.producer && log.nextProducer(reference.producer, result)
        const stored = { reference, timestamp, producer, endLsn }
        log.assignStored(stored)
        log.makeStoredDurable(stored)
        this.counts.records += count
        break
      }
      case OperationType.Trim:
        if (operation.before > log.nextOffset) {
          const { name, nextOffset } = log
          const stream = `stream ${JSON.stringify(name)}, whose next offset is ${nextOffset}`
          throw damage(block, operation.end, `a trim before ${operation.before} of ${stream}`)
        }
        log.firstOffset = log.durableFirstOffset = Math.max(log.firstOffset, operation.before)
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

  #append(
    append: AppendOperation,
    log: StreamLog,
    body: Buffer,
    timestamp: number,
    endLsn: number,
    block: Block,
  ): void {
    if (append.firstOffset !== log.nextOffset) {
      throw damage(block, append.recordsAt, wrongOffset(log, append.firstOffset))
    }
    this.counts.records += append.count
    const frame = keepAppend(append, log, this.#arena, body, timestamp, endLsn)
    log.assign(frame)
    log.makeDurable(frame)
  }
}

function operationsIn(payload: Buffer, [from, to]: readonly [number, number]): Operation[] {
  const operations: Operation[] = []
  for (let at = from; at < to; ) {
    const operation = decodeOperation(payload, at, to)
    if (operation === undefined) break
    operations.push(operation)
    at = operation.end
  }
  return operations
}

/** Whether an operation other than create can be applied where its stream stands. */
function follows(operation: Operation, log: StreamLog | undefined): boolean {
  if (log === undefined) return false
  if (operation.type === OperationType.Append) return operation.firstOffset === log.nextOffset
  if (operation.type === OperationType.Trim) return operation.before <= log.nextOffset
  if (operation.type !== OperationType.Reference) return true
  return operation.reference.firstOffset === log.nextOffset
}

/** Returns the offset after the records that an operation names; 0 if it names none. */
function endOf(operation: Operation): number {
  if (operation.type === OperationType.Append) return operation.firstOffset + operation.count
  if (operation.type === OperationType.Trim) return operation.before
  if (operation.type !== OperationType.Reference) return 0
  return operation.reference.firstOffset + operation.reference.count
}

function wrongOffset({ name, nextOffset }: StreamLog, firstOffset: number): string {
  const stream = `stream ${JSON.stringify(name)}`
  return `an append to ${stream} begins at offset ${firstOffset}, expected ${nextOffset}`
}

function damage(block: Block, at: number, reason: string): JournalDamage {
  const position = block.position + BLOCK_HEADER_BYTES + at
  return new JournalDamage(`journal file ${block.file}, byte ${position}: ${reason}`)
}
