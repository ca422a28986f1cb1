import { z } from 'zod'
import { compressionOffered } from '../format/compression.ts'
import {
  CHECKPOINT_EVERY_MAX,
  LIST_DEFAULT,
  LIST_MAX,
  RETENTION_AGE_SECONDS_MAX,
  SEGMENT_BYTES_MAX,
  SEGMENT_BYTES_MIN,
  STREAM_NAME_BYTES_MAX,
} from '../limits.ts'
import { ChainHash, Compression, Durability, Offset, queryInteger, Timestamp } from './scalars.ts'

/** A number from 1 on; a bound that is not there keeps everything. */
const bound = (maximum: number) => z.number().int().min(1).max(maximum).optional()

const Retention = z.strictObject({
  maxAgeSeconds: bound(RETENTION_AGE_SECONDS_MAX),
  maxBytes: bound(Number.MAX_SAFE_INTEGER),
  maxRecords: bound(Number.MAX_SAFE_INTEGER),
})

/** One that this process can do; the reason where it cannot. */
const OfferedCompression = Compression.superRefine((name, context) => {
  const reason = compressionOffered(name)
  if (reason !== undefined) context.addIssue({ code: 'custom', message: reason })
})

/** What a client may set; `retention` as a whole. */
export const StreamOptions = z.strictObject({
  durability: Durability.optional(),
  compression: OfferedCompression.optional(),
  maxSegmentBytes: z.number().int().min(SEGMENT_BYTES_MIN).max(SEGMENT_BYTES_MAX).optional(),
  checkpointEvery: z.number().int().min(1).max(CHECKPOINT_EVERY_MAX).optional(),
  retention: Retention.optional(),
})
export type StreamOptions = z.infer<typeof StreamOptions>

/** Offsets `[firstOffset, nextOffset)` that cannot be read or stored. */
export const StreamDamage = z.object({
  stream: z.string(),
  streamId: z.string(),
  firstOffset: Offset,
  nextOffset: Offset,
  reason: z.string(),
})
export type StreamDamage = z.infer<typeof StreamDamage>

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
    compression: Compression,
    maxSegmentBytes: z.number(),
    checkpointEvery: z.number(),
    retention: z.object({
      maxAgeSeconds: z.number().optional(),
      maxBytes: z.number().optional(),
      maxRecords: z.number().optional(),
    }),
  }),
  damage: z
    .array(StreamDamage)
    .optional()
    .describe('Damage found since the service started; absent when there is none.'),
})
export type StreamInfo = z.infer<typeof StreamInfo>

export const TrimBody = z.strictObject({ before: Offset })
export type TrimBody = z.infer<typeof TrimBody>

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
