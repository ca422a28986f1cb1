import { z } from 'zod'
import {
  READ_BYTES_DEFAULT,
  READ_BYTES_MAX,
  READ_RECORDS_DEFAULT,
  READ_RECORDS_MAX,
  READ_WAIT_MS_MAX,
} from '../limits.ts'
import {
  ChainHash,
  Id,
  Offset,
  QueryFrom,
  QueryHash,
  QueryOffset,
  queryInteger,
  Timestamp,
} from './scalars.ts'

const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/

/** RFC 3339 → µs since 1970, what is finer rounded up. */
const QueryTime = z
  .string()
  .regex(RFC_3339, 'expected a time as of RFC 3339')
  .transform(text => {
    const fraction = /\.\d+/.exec(text)?.[0] ?? ''
    const seconds = Date.parse(text.replace(fraction, '')) / 1000
    return seconds * 1e6 + Math.ceil(Math.round(Number(`0${fraction}`) * 1e9) / 1000)
  })
  .pipe(z.number('expected a time as of RFC 3339').transform(micros => Math.max(0, micros)))
  .meta({ format: 'date-time' })

const verify = z.enum(['none', 'links', 'genesis', 'checkpoint']).default('links')

export const ReadQuery = z
  .strictObject({
    from: QueryFrom.optional(),
    direction: z.enum(['forward', 'backward']).default('forward'),
    limit: queryInteger(1, READ_RECORDS_MAX).default(READ_RECORDS_DEFAULT),
    maxBytes: queryInteger(1, READ_BYTES_MAX).default(READ_BYTES_DEFAULT),
    since: QueryTime.optional(),
    after: QueryHash.optional(),
    wait: queryInteger(0, READ_WAIT_MS_MAX).default(0),
    verify,
  })
  .refine(query => query.since === undefined || query.from === undefined, {
    message: 'since and from exclude each other',
  })
  .refine(query => query.after === undefined || query.from !== undefined, {
    message: 'after is the hash of the record before from, and needs from',
  })
  .refine(query => query.since === undefined || query.direction === 'forward', {
    message: 'since needs direction=forward',
  })
export type ReadQuery = z.infer<typeof ReadQuery>

export const RecordParams = z.object({ stream: z.string(), offset: QueryOffset })
export type RecordParams = z.infer<typeof RecordParams>

export const RecordQuery = z.strictObject({ verify })
export type RecordQuery = z.infer<typeof RecordQuery>

/** One record as JSON; exactly one of `data`, `text` and `base64` is there. */
export const RecordObject = z.object({
  offset: Offset,
  timestamp: Timestamp,
  headers: z.record(z.string(), z.string()).optional(),
  data: z.json().optional(),
  text: z.string().optional(),
  base64: z.string().optional(),
  hash: ChainHash.optional(),
})
export type RecordObject = z.infer<typeof RecordObject>

export const ReadAnswer = z.object({
  stream: z.string(),
  firstOffset: Offset,
  nextOffset: Offset,
  /** Absent if the end is unknown, because the journal or the catalogue is damaged. */
  tailOffset: Offset.optional(),
  closed: z.boolean(),
  streamId: Id,
  /** Goes with `nextOffset` as the `after` of the next read; null where that record is lost. */
  lastHash: ChainHash.nullable(),
  /** The last record's offset, where all that follows it is lost: nothing vouches for it. */
  unvouched: Offset.optional(),
  /** With verify checkpoint or genesis: records below are under a signature that was checked. */
  signedThrough: Offset.optional(),
  records: z.array(RecordObject),
})
export type ReadAnswer = z.infer<typeof ReadAnswer>
