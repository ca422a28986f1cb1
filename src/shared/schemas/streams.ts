import { z } from 'zod'
import {
  LIST_DEFAULT,
  LIST_MAX,
  SEGMENT_BYTES_MAX,
  SEGMENT_BYTES_MIN,
  STREAM_NAME_BYTES_MAX,
} from '../limits.ts'
import { ChainHash, Durability, Offset, queryInteger, Timestamp } from './scalars.ts'

/** What a client may set. */
export const StreamOptions = z.strictObject({
  durability: Durability.optional(),
  compression: z.literal('none', 'compression is not offered yet: only "none"').optional(),
  maxSegmentBytes: z.number().int().min(SEGMENT_BYTES_MIN).max(SEGMENT_BYTES_MAX).optional(),
})
export type StreamOptions = z.infer<typeof StreamOptions>

export const StreamInfo = z.object({
  stream: z.string(),
  streamId: z.string(),
  state: z.enum(['open', 'closed']),
  firstOffset: Offset,
  nextOffset: Offset,
  chainHead: ChainHash,
  recordBytes: z.number(),
  segments: z.number(),
  createdAt: Timestamp,
  config: z.object({
    durability: Durability,
    compression: z.literal('none'),
    maxSegmentBytes: z.number(),
  }),
})
export type StreamInfo = z.infer<typeof StreamInfo>

const namePart = z.string().max(STREAM_NAME_BYTES_MAX)

export const StreamListQuery = z.strictObject({
  prefix: namePart.default(''),
  after: namePart.default(''),
  limit: queryInteger(1, LIST_MAX).default(LIST_DEFAULT),
})
export type StreamListQuery = z.infer<typeof StreamListQuery>

export const StreamList = z.object({
  streams: z.array(StreamInfo),
  next: z.string().nullable(),
})
export type StreamList = z.infer<typeof StreamList>

export const NoContent = z.null()
export type NoContent = z.infer<typeof NoContent>
