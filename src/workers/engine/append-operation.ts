import {
  appendPrefixBytes,
  createBytes,
  encodeAppendPrefix,
  encodeCreate,
} from '../../shared/format/operation.ts'
import type { Producer } from '../../shared/protocol/streams.ts'
import type { Signer } from '../../shared/signing.ts'
import type { StreamLog } from '../streams/stream-log.ts'
import { type BatchPlan, type EncodedBatch, encodeBatch } from './batch-encoder.ts'

// A batch as a frame carries it: a create where the stream is new, then the append.

export type PlannedAppend = {
  readonly log: StreamLog
  readonly plan: BatchPlan
  readonly creates: boolean
  readonly producer: Producer | undefined
}

export type WrittenAppend = EncodedBatch & { readonly recordsAt: number }

/** Bytes that it takes. */
export function appendBytes({ log, plan, creates, producer }: PlannedAppend): number {
  const create = creates ? createBytes(log.name, JSON.stringify(log.config)) : 0
  return create + appendPrefixBytes(producer) + plan.length
}

/** Writes it at `start`; the batch's own bytes are used up. */
export function writeAppend(
  block: Buffer,
  start: number,
  { log, plan, creates, producer }: PlannedAppend,
  bytes: Buffer,
  signer: Signer,
): WrittenAppend {
  let prefixAt = start
  if (creates) {
    const config = JSON.stringify(log.config)
    const fields = { createdAt: log.createdAt, name: log.name, config }
    prefixAt = encodeCreate(block, start, log.id, fields)
  }
  const recordsAt = prefixAt + appendPrefixBytes(producer)
  const encoded = encodeBatch(block, recordsAt, log, plan, bytes, signer)
  const { recordHash, chainHead, position, hasCheckpoint, end } = encoded
  const fields = { firstOffset: log.nextOffset, count: plan.batch.count, chainHead }
  encodeAppendPrefix(block, prefixAt, log.id, fields, plan.length, producer)
  return { recordHash, chainHead, position, hasCheckpoint, end, recordsAt }
}
