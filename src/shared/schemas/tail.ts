import { z } from 'zod'
import { QueryFrom, QueryHash } from './scalars.ts'

export const TailQuery = z.strictObject({
  from: QueryFrom.default('end'),
  after: QueryHash.optional(),
  format: z.enum(['json', 'batch']).default('json'),
})
export type TailQuery = z.infer<typeof TailQuery>
