import { z } from 'zod'
import { QueryFrom } from './scalars.ts'

export const TailQuery = z.strictObject({
  from: QueryFrom.default('end'),
  format: z.enum(['json', 'batch']).default('json'),
})
export type TailQuery = z.infer<typeof TailQuery>
