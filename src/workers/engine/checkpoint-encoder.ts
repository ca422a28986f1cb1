import { assert } from '../../shared/assert.ts'
import { viewOf } from '../../shared/format/bytes.ts'
import { chainHashOf } from '../../shared/format/chain.ts'
import {
  CHECKPOINT_RECORD_BYTES,
  type CheckpointFields,
  encodeCheckpointBody,
  signedBytes,
} from '../../shared/format/checkpoint.ts'
import { encodeCheckpointRecord, viewRecord } from '../../shared/format/record.ts'
import type { Signer } from '../../shared/signing.ts'

/** A checkpoint as it was written. */
export type EncodedCheckpoint = {
  /** Chain hash after it. */
  readonly chainHead: string
  readonly signature: string
}

/** Signs and writes a checkpoint's record at `start`, CHECKPOINT_RECORD_BYTES long. */
export function encodeCheckpoint(
  block: Buffer,
  start: number,
  signer: Signer,
  fields: CheckpointFields,
  isLastOfSegment: boolean,
): EncodedCheckpoint {
  const { recordCount, trimPoint, stateHash, change } = fields
  const { offset, timestamp, chainHead: previousHash } = fields
  const signature = signer.sign(signedBytes(fields))
  const { keyId } = signer
  const signed = { recordCount, trimPoint, stateHash, change }
  const body = encodeCheckpointBody({ ...signed, keyId, isLastOfSegment, signature })
  const record = { offset, timestamp, previousHash }
  const end = encodeCheckpointRecord(block, viewOf(block), start, record, body)
  assert(end === start + CHECKPOINT_RECORD_BYTES, 'a checkpoint is as long as it always is')
  const view = viewRecord(block, start)
  assert(view !== undefined, 'a checkpoint that was written is a record')
  return { chainHead: chainHashOf(fields.streamId, block, view), signature }
}
