import { latin1ToHex } from '../../shared/format/bytes.ts'
import { FRAME_HEADER_BYTES, FrameFlag, sealFrame } from '../../shared/format/frame.ts'
import type { ProducerResult } from '../../shared/format/producer-state.ts'
import { STREAM_NONCE_BYTES, streamIdOf } from '../../shared/format/stream-id.ts'
import { creationHashOf } from '../../shared/format/stream-state.ts'
import { StoreError } from '../../shared/errors.ts'
import type { Mutation } from '../../shared/protocol/shard.ts'
import type { AppendResult, StreamConfig } from '../../shared/protocol/streams.ts'
import { StreamLog, type TailFrame } from '../streams/stream-log.ts'
import type { Accepted } from './accepted.ts'
import { appendBytes, type PlannedAppend, writeAppend } from './append-operation.ts'
import { type BatchPlan, compressBatch, planBatch } from './batch-encoder.ts'
import type { EngineParts } from './engine-parts.ts'

export type Append = Extract<Mutation, { kind: 'append' }>

/** An append that is to go straight to its segment; nothing has changed yet. */
export type LargeAppend = {
  readonly append: Append
  readonly log: StreamLog
  readonly plan: BatchPlan
}

/** µs in a second */
const SECOND = 1e6

/**
 * Turns appends into frames: checks what they ask against the assigned state, gives out offsets,
 * times and chain hashes, and encodes into the log buffer. A batch is one frame, so all of its
 * records are there after a crash, or none.
 */
export class Appender {
  readonly #parts: EngineParts
  readonly #isDirect: (log: StreamLog, plan: BatchPlan) => boolean
  /** Of the append that found no room: compressing it once is enough. */
  #compressed: { readonly append: Append; readonly bodies: BatchPlan['bodies'] } | undefined

  /** @param isDirect whether a planned append goes straight to its segment */
  constructor(parts: EngineParts, isDirect: (log: StreamLog, plan: BatchPlan) => boolean) {
    this.#parts = parts
    this.#isDirect = isDirect
  }

  /** Undefined when there is no room now: nothing has changed, call again after the next flush. */
  append(append: Append, bytes: Buffer): Accepted | LargeAppend | undefined {
    const { table, environment, options } = this.#parts
    const found = table.assigned(append.stream)
    const now = environment.nowMicros()
    const repeat = found && this.#repeated(found, append)
    if (repeat !== undefined) return repeat
    if (found === undefined) {
      table.checkMayCreate(options)
      if ((append.producer?.seq ?? 0) !== 0) throw newProducer()
    }
    if (found?.state === 'closed') throw streamClosed(found)
    checkExpected(found?.nextOffset ?? 0, append.expectedOffset)
    if (found !== undefined) checkWritable(found)
    const log = found ?? newStream(this.#parts, append.stream, options.defaultConfig)
    const timestamp = Math.max(now, log.lastTimestamp)
    const plan = planBatch(log, append, bytes, timestamp, this.#compress(log, append, bytes))
    if (found !== undefined && this.#isDirect(log, plan)) {
      this.#compressed = undefined
      return { append, log, plan }
    }
    const { producer } = append
    const written = this.#write({ log, plan, creates: found === undefined, producer }, bytes)
    if (written === undefined) return undefined
    const { frame, result } = written
    log.assign(frame)
    if (found === undefined) table.assign(log)
    this.#compressed = undefined
    const durability = append.durability ?? log.config.durability
    return {
      commit: { kind: 'append', endLsn: frame.endLsn, log, frame, creates: found === undefined },
      value: shown(log, result, durability, false),
      durability,
    }
  }

  /** The first answer, where the producer sent this batch before. */
  #repeated(log: StreamLog, append: Append): Accepted | undefined {
    const { producer } = append
    if (producer === undefined || log.producers === undefined) {
      if ((producer?.seq ?? 0) !== 0) throw newProducer()
      return undefined
    }
    const { clock, options } = this.#parts
    const expiredBefore = clock.now() - options.producerExpirySeconds * SECOND
    const result = log.producers.check(producer, expiredBefore)
    if (result === undefined) return undefined
    const durability = append.durability ?? log.config.durability
    return { commit: null, value: shown(log, result, durability, true), durability }
  }

  #compress(log: StreamLog, append: Append, bytes: Buffer): BatchPlan['bodies'] {
    if (log.config.compression === 'none') return undefined
    if (this.#compressed?.append === append) return this.#compressed.bodies
    const bodies = compressBatch(log, append, bytes)
    this.#compressed = { append, bodies }
    return bodies
  }

  /** Writes the frame: a create where the stream is new, then the batch. */
  #write(
    append: PlannedAppend,
    bytes: Buffer,
  ): { readonly frame: TailFrame; readonly result: ProducerResult } | undefined {
    const { buffer, arena, signer } = this.#parts
    const { log, plan, producer } = append
    const payloadLength = appendBytes(append)
    const room = buffer.reserve(FRAME_HEADER_BYTES + payloadLength)
    if (room === undefined) return undefined
    const { block, at } = room
    const written = writeAppend(block, at + FRAME_HEADER_BYTES, append, bytes, signer)
    const { recordHash, chainHead, position, hasCheckpoint, recordsAt, end } = written
    const { timestamp, batch } = plan
    sealFrame(block, at, FrameFlag.Committed, timestamp, payloadLength)
    const endLsn = buffer.commit(FRAME_HEADER_BYTES + payloadLength)
    const firstOffset = log.nextOffset
    const nextOffset = firstOffset + batch.count
    const { chunk, at: keptAt } = arena.keep(block, recordsAt, end, endLsn)
    const result = { firstOffset, nextOffset, timestamp, recordHash, chainHead }
    const frame: TailFrame = {
      firstOffset,
      nextOffset,
      timestamp,
      chainHead,
      recordHash,
      position,
      hasCheckpoint,
      producer: producer && log.nextProducer(producer, result),
      endLsn,
      length: plan.length,
      chunk,
      at: keptAt,
    }
    return { frame, result }
  }
}

/** Checks the offset that a conditional append expects. @throws StoreError offset_mismatch */
export function checkExpected(nextOffset: number, expected: number | undefined): void {
  if (expected === undefined || expected === nextOffset) return
  const detail = `the next offset of the stream is ${nextOffset} (expected ${expected})`
  throw new StoreError('offset_mismatch', detail, { nextOffset })
}

export function streamClosed(log: StreamLog): StoreError {
  return new StoreError('stream_closed', 'the stream takes no more records', {
    nextOffset: log.nextOffset,
  })
}

/**
 * Refuses an append to a stream whose files cannot be written.
 * @throws StoreError stream_unwritable, disk_full
 */
export function checkWritable({ name, writeFault, nextOffset }: StreamLog): void {
  if (writeFault === undefined) return
  const code = writeFault.isForSpace ? 'disk_full' : 'stream_unwritable'
  const detail =
    `the files of stream ${JSON.stringify(name)} cannot be written, so its appends are refused; ` +
    `the service retries every few seconds: ${writeFault.reason}`
  throw new StoreError(code, detail, { nextOffset })
}

export function newStream(parts: EngineParts, name: string, config: StreamConfig): StreamLog {
  const { environment } = parts
  const createdAt = environment.nowMicros()
  const creationHash = creationHashOf(createdAt, config)
  const id = streamIdOf(environment.randomBytes(STREAM_NONCE_BYTES), creationHash, name)
  const log = new StreamLog(name, id, createdAt, config, creationHash)
  log.fault = null // the id was just made for it
  return log
}

/** Returns a result as it is answered. */
export function shown(
  log: StreamLog,
  { firstOffset, nextOffset, timestamp, recordHash, chainHead }: ProducerResult,
  durability: StreamConfig['durability'],
  duplicate: boolean,
): Omit<AppendResult, 'durable'> {
  return {
    firstOffset,
    nextOffset,
    durability,
    duplicate,
    timestamp,
    streamId: latin1ToHex(log.id),
    recordHash: latin1ToHex(recordHash),
    chainHead: latin1ToHex(chainHead),
  }
}

function newProducer(): StoreError {
  return new StoreError('invalid_request', 'the first seq of a new producer or epoch is 0', {
    expectedSeq: 0,
  })
}
