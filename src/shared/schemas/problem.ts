import { z } from 'zod'

/** RFC 9457. Members beside these depend on the code: `nextOffset`, `outcome` and others. */
export const Problem = z.looseObject({
  type: z.string(),
  title: z.string(),
  status: z.number(),
  code: z.string(),
  detail: z.string(),
  retryable: z.boolean(),
})
export type Problem = z.infer<typeof Problem>
