import { z } from 'zod'
import { CHANGE_NAMES } from '../format/checkpoint.ts'
import { CHECKPOINTS_LIST_DEFAULT, CHECKPOINTS_LIST_MAX } from '../limits.ts'
import { ChainHash, Id, Offset, QueryOffset, queryInteger, Timestamp } from './scalars.ts'

/** All that its signature is over, but for the µs of its time, which `timestampMicros` has. */
export const Checkpoint = z.object({
  stream: z.string(),
  streamId: Id,
  offset: Offset,
  chainHead: ChainHash,
  recordCount: Offset,
  timestamp: Timestamp,
  timestampMicros: Offset,
  trimPoint: z.object({ offset: Offset, chainHead: ChainHash }),
  stateHash: ChainHash.describe(
    "Hash of the stream's configuration, closed, first offset and creation time.",
  ),
  change: z
    .enum(CHANGE_NAMES)
    .describe('The change of that state that the checkpoint was written with.'),
  signature: z.string().meta({ pattern: '^[0-9a-f]{128}$' }),
  keyId: Id,
})
export type Checkpoint = z.infer<typeof Checkpoint>

export const CheckpointListQuery = z.strictObject({
  from: QueryOffset.default(0),
  limit: queryInteger(1, CHECKPOINTS_LIST_MAX).default(CHECKPOINTS_LIST_DEFAULT),
})
export type CheckpointListQuery = z.infer<typeof CheckpointListQuery>

/** `next` is the `from` that goes on; null at the end. */
export const CheckpointList = z.object({
  stream: z.string(),
  checkpoints: z.array(Checkpoint),
  next: Offset.nullable(),
})
export type CheckpointList = z.infer<typeof CheckpointList>

export const KeyList = z.object({
  keys: z.array(
    z.object({
      keyId: Id,
      algorithm: z.literal('Ed25519'),
      publicKey: z.string().meta({ pattern: '^[0-9a-f]{64}$' }),
      active: z.boolean(),
    }),
  ),
})
export type KeyList = z.infer<typeof KeyList>
