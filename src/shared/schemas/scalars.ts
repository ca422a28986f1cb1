import { z } from 'zod'

// What several shapes share. Query parameters come as text; a parameter given twice is refused.

/** Offsets and other counts on the wire are never above 2^53 - 1. */
export const Offset = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)

/** RFC 3339, UTC, milliseconds. */
export const Timestamp = z.string().meta({ format: 'date-time' })

/** 64 lower-case hex digits. */
export const ChainHash = z.string().meta({ pattern: '^[0-9a-f]{64}$' })

/** The hash of the record before an offset, as a page, an event or an append gave it. */
export const QueryHash = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 lower-case hex digits')

/** Of a stream or a key: 32 lower-case hex digits. */
export const Id = z.string().meta({ pattern: '^[0-9a-f]{32}$' })

export const Durability = z.enum(['immediate', 'group', 'relaxed'])

export const Compression = z.enum(['none', 'lz4', 'zstd'])

/** An unsigned decimal number without sign, exponent or white space. */
export function queryInteger(minimum: number, maximum: number) {
  return z
    .string()
    .regex(/^\d{1,16}$/, 'expected an unsigned decimal number')
    .transform(Number)
    .pipe(z.number().min(minimum).max(maximum))
    .meta({ type: 'integer', minimum, maximum })
}

export const QueryOffset = queryInteger(0, Number.MAX_SAFE_INTEGER)

export const QueryFrom = z.union([z.enum(['start', 'end']), QueryOffset])

/** Checked by src/shared/format/stream-name.ts, which says what is wrong. */
export const StreamParams = z.object({ stream: z.string() })
export type StreamParams = z.infer<typeof StreamParams>
