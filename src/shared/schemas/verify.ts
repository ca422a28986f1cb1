import { z } from 'zod'
import { ChainHash, Offset, QueryOffset } from './scalars.ts'

export const VerifyQuery = z.strictObject({
  from: QueryOffset.optional(),
  to: QueryOffset.optional(),
})
export type VerifyQuery = z.infer<typeof VerifyQuery>

export const VerifyAnswer = z.object({
  ok: z.boolean(),
  verifiedRecords: z.number(),
  from: Offset,
  to: Offset,
  chainHead: ChainHash,
  anchor: z.enum(['genesis', 'checkpoint', 'trim']),
  failure: z.object({ offset: Offset, reason: z.string() }).nullable(),
})
export type VerifyAnswer = z.infer<typeof VerifyAnswer>
