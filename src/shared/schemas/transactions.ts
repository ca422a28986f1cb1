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

/** One of its appends but for the records, which src/main/http/json-records.ts reads and bounds. */
export const TransactionTarget = z.strictObject(target)
export type TransactionTarget = z.infer<typeof TransactionTarget>

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
