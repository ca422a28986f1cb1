import { assert } from '../../shared/assert.ts'
import { StoreError } from '../../shared/errors.ts'
import { latin1ToHex } from '../../shared/format/bytes.ts'
import {
  FRAME_HEADER_BYTES,
  FrameFlag,
  type FrameTransaction,
  sealFrame,
  sealWitness,
  type Witness,
} from '../../shared/format/frame.ts'
import type { Mutation, TransactionShare } from '../../shared/protocol/shard.ts'
import type { StreamConfig, TransactionPart } from '../../shared/protocol/streams.ts'
import type { StreamLog } from '../streams/stream-log.ts'
import type { Accepted } from './accepted.ts'
import { appendBytes, type PlannedAppend, writeAppend } from './append-operation.ts'
import { checkExpected, checkWritable, newStream, streamClosed } from './appender.ts'
import { compressBatch, planBatch } from './batch-encoder.ts'
import type { EngineParts } from './engine-parts.ts'
import { assignTransaction, type StagedTransaction } from './staged-transaction.ts'

type Prepare = Extract<Mutation, { kind: 'prepare' }>
type Transact = Extract<Mutation, { kind: 'transact' }>

/** Streams of a transaction, as they are assigned before it. */
type Target = { readonly share: TransactionShare; readonly log: StreamLog | undefined }

type Written = {
  readonly block: Buffer
  /** Of the frame's payload in `block`. */
  readonly range: readonly [from: number, to: number]
  readonly timestamp: number
  readonly endLsn: number
  readonly appends: readonly PlannedAppend[]
  readonly parts: readonly TransactionPart[]
}

const DURABILITY: StreamConfig['durability'] = 'group'

/**
 * Turns the steps of transactions into frames. All that a transaction asks is checked for all of
 * its streams before anything is encoded; each method returns undefined when there is no room now,
 * and nothing has changed then, nor when it throws.
 */
export class TransactionFrames {
  readonly #parts: EngineParts

  constructor(parts: EngineParts) {
    this.#parts = parts
  }

  /** All of it in one frame. @throws StoreError of the first append that cannot be, see `#check` */
  transact({ transaction, appends }: Transact, bytes: Buffer): Accepted | undefined {
    const frame = { id: transaction, coordinator: 0 }
    const written = this.#write(FrameFlag.Committed, frame, appends, bytes)
    if (written === undefined) return undefined
    const { endLsn, parts } = written
    const appended = this.#assign(written.block, written.range, written.timestamp, endLsn)
    const commit = { kind: 'transaction', endLsn, pending: undefined, appended } as const
    return {
      commit: { ...commit, isDecision: false },
      value: { appends: parts },
      durability: DURABILITY,
    }
  }

  /**
   * What the transaction will do here, without doing it. @throws StoreError as `transact`
   */
  prepare(prepare: Prepare, bytes: Buffer): Accepted | undefined {
    const { ledger, table } = this.#parts
    const { transaction: id, coordinator } = prepare
    const written = this.#write(FrameFlag.Pending, { id, coordinator }, prepare.appends, bytes)
    if (written === undefined) return undefined
    const { block, range, timestamp, endLsn, appends, parts } = written
    const creates = appends.filter(append => append.creates).length
    const payload = Buffer.from(block.subarray(...range))
    const streams = appends.map(({ log }) => log.name)
    ledger.stage({ id, coordinator, timestamp, payload, streams, creates, endLsn })
    table.promise(creates)
    const value = { appends: parts, endLsn }
    return { commit: { kind: 'pending', endLsn }, value, durability: DURABILITY }
  }

  /** Does, or drops, what is staged. @param witnesses of what it rests on in other journals */
  resolve(
    staged: StagedTransaction,
    outcome: 'commit' | 'abort',
    witnesses: readonly Witness[],
  ): Accepted | undefined {
    const { buffer, environment, ledger, table, shard } = this.#parts
    const { id, coordinator, payload, timestamp, creates } = staged
    const bytes = FRAME_HEADER_BYTES * (witnesses.length + 1)
    const room = buffer.reserve(bytes)
    if (room === undefined) return undefined
    const now = environment.nowMicros()
    let at = room.at
    for (const witness of witnesses) at = sealWitness(room.block, at, now, witness)
    const flag = outcome === 'commit' ? FrameFlag.Committed : FrameFlag.Aborted
    const frame = { id, coordinator: 0 }
    sealFrame(room.block, at, flag, now, 0, frame)
    const endLsn = buffer.commit(bytes)
    for (const witness of witnesses) ledger.noteWitness(witness)
    ledger.resolve(id)
    table.promise(-creates)
    const common = { value: { endLsn }, durability: DURABILITY }
    if (outcome === 'abort') return { commit: { kind: 'aborted', endLsn, pending: id }, ...common }
    const appended = this.#assign(payload, [0, payload.length], timestamp, endLsn)
    const isDecision = coordinator === shard
    return {
      commit: { kind: 'transaction', endLsn, pending: id, appended, isDecision },
      ...common,
    }
  }

  #assign(payload: Buffer, range: readonly [number, number], timestamp: number, endLsn: number) {
    const { table, arena } = this.#parts
    const appended = assignTransaction(table, arena, payload, range, timestamp, endLsn)
    assert(appended !== undefined, 'a transaction follows the heads that it was encoded for')
    return appended
  }

  #write(
    flag: FrameFlag,
    transaction: FrameTransaction,
    shares: readonly TransactionShare[],
    bytes: Buffer,
  ): Written | undefined {
    const { buffer, signer, environment } = this.#parts
    const targets = this.#check(shares)
    const times = targets.map(({ log }) => log?.lastTimestamp ?? 0)
    const timestamp = Math.max(environment.nowMicros(), ...times)
    const appends = targets.map(target => this.#plan(target, bytes, timestamp))
    const payloadLength = appends.reduce((sum, append) => sum + appendBytes(append), 0)
    const room = buffer.reserve(FRAME_HEADER_BYTES + payloadLength)
    if (room === undefined) return undefined
    const { block, at } = room
    const from = at + FRAME_HEADER_BYTES
    let to = from
    const parts = appends.map(append => {
      const { log, plan } = append
      const written = writeAppend(block, to, append, bytes, signer)
      to = written.end
      const nextOffset = log.nextOffset + plan.batch.count
      const chainHead = latin1ToHex(written.chainHead)
      return { stream: log.name, firstOffset: log.nextOffset, nextOffset, chainHead }
    })
    assert(to === from + payloadLength, 'a transaction takes the room that was planned')
    sealFrame(block, at, flag, timestamp, payloadLength, transaction)
    const endLsn = buffer.commit(FRAME_HEADER_BYTES + payloadLength)
    return { block, range: [from, to], timestamp, endLsn, appends, parts }
  }

  #plan({ share, log: found }: Target, bytes: Buffer, timestamp: number): PlannedAppend {
    const { options } = this.#parts
    const log = found ?? newStream(this.#parts, share.stream, options.defaultConfig)
    const bodies = compressBatch(log, share, bytes)
    const plan = planBatch(log, share, bytes, timestamp, bodies)
    return { log, plan, creates: found === undefined, producer: undefined }
  }

  /**
   * @throws StoreError stream_not_found, too_many_requests, stream_closed, offset_mismatch,
   * stream_unwritable, disk_full of the first append that cannot be, with the field `stream`
   */
  #check(shares: readonly TransactionShare[]): Target[] {
    const { table, options } = this.#parts
    let created = 0
    return shares.map(share => {
      const log = table.assigned(share.stream)
      try {
        if (log === undefined) table.checkMayCreate(options, created)
        if (log?.state === 'closed') throw streamClosed(log)
        checkExpected(log?.nextOffset ?? 0, share.expectedOffset)
        if (log !== undefined) checkWritable(log)
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
        const fields = { ...error.fields, stream: share.stream }
        throw new StoreError(error.code, error.message, fields, error.cause)
      }
      if (log === undefined) created += 1
      return { share, log }
    })
  }
}
