import { z } from 'zod'
import { TRANSACTION_APPENDS_MAX } from '../limits.ts'
import { AppendBody } from './append.ts'
import { ChainHash, Offset } from './scalars.ts'

const target = { stream: z.string(), expectedOffset: Offset.optional() }

/** What a transaction looks like, for the document. */
export const TransactionBody = z.strictObject({
  appends: z
    .array(z.strictObject({ ...target, records: AppendBody.shape.records }))
    .min(1)
    .max(TRANSACTION_APPENDS_MAX),
})
export type TransactionBody = z.infer<typeof TransactionBody>

/** A transaction but for its records: src/main/http/append-body.ts reads and bounds them. */
export const TransactionEnvelope = z.strictObject({
  appends: z
    .array(z.strictObject({ ...target, records: z.array(z.unknown()).min(1) }))
    .min(1)
    .max(TRANSACTION_APPENDS_MAX),
})
export type TransactionEnvelope = z.infer<typeof TransactionEnvelope>

export const TransactionAnswer = z.object({
  transactionId: z.string().meta({ pattern: '^[0-9a-f]{16}$' }),
  appends: z.array(
    z.object({
      stream: z.string(),
      firstOffset: Offset,
      nextOffset: Offset,
      chainHead: ChainHash,
    }),
  ),
})
export type TransactionAnswer = z.infer<typeof TransactionAnswer>
