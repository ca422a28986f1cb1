import { z } from 'zod'
import { PRODUCER_ID_BYTES_MAX } from '../limits.ts'
import { AppendAnswer, AppendRecord } from './append.ts'
import { Problem } from './problem.ts'
import { Durability, Offset } from './scalars.ts'

/** Comes back in the answer as it was written. */
const SessionId = z.union([z.string(), z.number()])

/** No UTF-8 stands for half of a pair. */
const LONE_SURROGATE = /\p{Cs}/u

const SessionProducer = z.strictObject({
  id: z
    .string()
    .min(1)
    .refine(
      id => !LONE_SURROGATE.test(id) && Buffer.byteLength(id) <= PRODUCER_ID_BYTES_MAX,
      `expected at most ${PRODUCER_ID_BYTES_MAX} bytes of UTF-8`,
    ),
  epoch: Offset,
  seq: Offset,
})

const fields = {
  op: z.literal('append'),
  stream: z.string(),
  expectedOffset: Offset.optional(),
  durability: Durability.optional(),
  producer: SessionProducer.optional(),
}

/** A text message but for its id and its records, which src/main reads where they lie. */
export const SessionFields = z.strictObject(fields)
export type SessionFields = z.infer<typeof SessionFields>

/** What a text message looks like, for the document. */
export const SessionRequest = z.strictObject({
  id: SessionId,
  ...fields,
  records: z.array(AppendRecord).min(1),
})
export type SessionRequest = z.infer<typeof SessionRequest>

/** `id` is null when the request has none that can be used. */
export const SessionReply = z.union([
  z.object({ id: SessionId, ok: AppendAnswer }),
  z.object({ id: SessionId.nullable(), error: Problem }),
])
export type SessionReply = z.infer<typeof SessionReply>
