import { z } from 'zod'
import { PRODUCER_ID_BYTES_MAX } from '../limits.ts'
import { ChainHash, Durability, Id, Offset, QueryOffset, Timestamp } from './scalars.ts'

export const AppendQuery = z.strictObject({
  expectedOffset: QueryOffset.optional(),
  durability: Durability.optional(),
})
export type AppendQuery = z.infer<typeof AppendQuery>

/** All three or none; read by src/main/http/producer-headers.ts. */
export const ProducerHeaders = z.object({
  'producer-id': z.string().min(1).max(PRODUCER_ID_BYTES_MAX).optional(),
  'producer-epoch': QueryOffset.optional(),
  'producer-seq': QueryOffset.optional(),
})
export type ProducerHeaders = z.infer<typeof ProducerHeaders>

const headers = z.record(z.string(), z.string()).optional()

/** Read by src/main/http/append-body.ts, which bounds it. */
export const AppendRecord = z.union([
  z.strictObject({ data: z.json(), headers }),
  z.strictObject({ text: z.string(), headers }),
  z.strictObject({ base64: z.base64(), headers }),
])
export type AppendRecord = z.infer<typeof AppendRecord>

export const AppendBody = z.strictObject({ records: z.array(AppendRecord).min(1) })
export type AppendBody = z.infer<typeof AppendBody>

export const AppendAnswer = z.object({
  stream: z.string(),
  firstOffset: Offset,
  nextOffset: Offset,
  count: z.number().int().min(1),
  durability: Durability,
  durable: z.boolean(),
  duplicate: z.boolean(),
  timestamp: Timestamp,
  streamId: Id,
  /** Of the append's last record: the `after` of a read behind it. */
  recordHash: ChainHash,
  /** Of the chain after it, a checkpoint that came with it included. */
  chainHead: ChainHash,
})
export type AppendAnswer = z.infer<typeof AppendAnswer>
