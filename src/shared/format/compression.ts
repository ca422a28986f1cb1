import * as zlib from 'node:zlib'
import type * as Lz4 from 'lz4-napi'
import type { Compression } from '../protocol/streams.ts'

// The body of one record, compressed by itself: LZ4 as a raw block, zstd as one frame. The record
// header states which, and how long the body was; nothing of that is repeated in the stored bytes.

/** The byte in the record header. */
export const CompressionCode = { None: 0, Lz4: 1, Zstd: 2 } as const
export type CompressionCode = (typeof CompressionCode)[keyof typeof CompressionCode]

const CODES: Readonly<Record<Compression, CompressionCode>> = {
  none: CompressionCode.None,
  lz4: CompressionCode.Lz4,
  zstd: CompressionCode.Zstd,
}

/** One way to make bytes smaller. Bytes it did not make may throw anything, or expand to less. */
type Codec = {
  compress(raw: Buffer): Buffer
  /** At most `rawLength` bytes, at no more memory than that and what the codec itself needs. */
  expand(stored: Buffer, rawLength: number): Buffer
}

/** What this process can do: undefined, or why it cannot be had here. */
export type Codecs = { readonly [Name in Exclude<Compression, 'none'>]: Codec | string }

/** Why stored bytes did not become a body again. */
export class ExpandError extends Error {
  override readonly name = 'ExpandError'
  /** `unavailable`: nothing is wrong with the bytes, they are for another Node to read. */
  readonly reason: 'damaged' | 'unavailable'

  constructor(reason: 'damaged' | 'unavailable', detail: string, cause?: unknown) {
    super(detail, cause === undefined ? undefined : { cause })
    this.reason = reason
  }
}

/**
 * Shorter bodies are not tried. Of lines of logs of 64 to 128 B 0 to 3 % got smaller, of JSON
 * documents most, by 6 to 14 %, for 2 µs with LZ4 and 20 µs with zstd; from here on up to a third.
 */
export const COMPRESS_BYTES_MIN = 128
/** What one byte of an LZ4 block can stand for at most: a byte of a match's length. */
const LZ4_RATIO_MAX = 255
const LZ4_PREFIX_BYTES = 4

// zstd.h
const ZSTD_D_WINDOW_LOG_MAX = 100
/** 8 MiB, four times what level 3 uses: a frame may not ask for more memory than that. */
const WINDOW_LOG_MAX = 23
const CHUNK_BYTES_MIN = 64
const CHUNK_BYTES_MAX = 256 * 1024

// The package ships one binary a platform. Where there is none, streams without LZ4 work.
const lz4 = await import('lz4-napi').catch(() => undefined)

/** Of this process. */
export const CODECS: Codecs = {
  lz4: lz4 === undefined ? 'LZ4 is not installed for this platform' : lz4Codec(lz4),
  zstd: zstdCodec(zlib),
}

export function compressionCodeOf(name: Compression): CompressionCode {
  return CODES[name]
}

/** The name of the byte in a record header; undefined when it has none. */
export function compressionNameOf(code: number): Compression | undefined {
  return (['none', 'lz4', 'zstd'] as const)[code]
}

/** Why `name` cannot be configured here; undefined when it can. */
export function compressionOffered(name: Compression, codecs = CODECS): string | undefined {
  if (name === 'none') return undefined
  const codec = codecs[name]
  return typeof codec === 'string' ? codec : undefined
}

/**
 * What to store for the body `[from, to)` of `source`; undefined where that would not be smaller,
 * or this process cannot make it: a stream that another Node configured goes on uncompressed.
 */
export function compressBody(
  code: CompressionCode,
  source: Buffer,
  from: number,
  to: number,
  codecs = CODECS,
): Buffer | undefined {
  if (code === CompressionCode.None || to - from < COMPRESS_BYTES_MIN) return undefined
  const codec = code === CompressionCode.Lz4 ? codecs.lz4 : codecs.zstd
  if (typeof codec === 'string') return undefined
  const stored = codec.compress(source.subarray(from, to))
  return stored.length < to - from ? stored : undefined
}

/**
 * The body that `stored` was made from.
 * @param rawLength what the record header states: the bound of what is allocated, so it was checked
 * against the record limit
 * @throws ExpandError when that is not what comes out, or this Node cannot tell
 */
export function expandBody(
  code: number,
  stored: Buffer,
  rawLength: number,
  codecs = CODECS,
): Buffer {
  const codec = codecOf(code, codecs)
  const body = tryExpand(codec, stored, rawLength)
  if (body.length !== rawLength) {
    throw new ExpandError('damaged', `${body.length} bytes where ${rawLength} are stated`)
  }
  return body
}

function tryExpand(codec: Codec, stored: Buffer, rawLength: number): Buffer {
  try {
    return codec.expand(stored, rawLength)
  } catch (error) {
    throw new ExpandError('damaged', `no body of ${rawLength} bytes`, error)
  }
}

function codecOf(code: number, codecs: Codecs): Codec {
  const name = compressionNameOf(code)
  if (name === undefined || name === 'none') {
    throw new ExpandError('damaged', `compression ${code} is not known`)
  }
  const codec = codecs[name]
  if (typeof codec === 'string') throw new ExpandError('unavailable', codec)
  return codec
}

/** The package puts the raw length before the block; the record header has it already. */
export function lz4Codec({
  compressSync,
  uncompressSync,
}: Pick<typeof Lz4, 'compressSync' | 'uncompressSync'>): Codec {
  return {
    compress: raw => compressSync(raw).subarray(LZ4_PREFIX_BYTES),
    expand(stored, rawLength) {
      // The package allocates what it is told, so first: can it be true?
      if (rawLength > stored.length * LZ4_RATIO_MAX) throw new Error('too long for its bytes')
      const block = Buffer.allocUnsafe(LZ4_PREFIX_BYTES + stored.length)
      block.writeUInt32LE(rawLength)
      stored.copy(block, LZ4_PREFIX_BYTES)
      return uncompressSync(block)
    },
  }
}

/** Asked for by feature: Node 22.15 and 23.8 brought it, 20 never will. */
export function zstdCodec({
  zstdCompressSync,
  zstdDecompressSync,
}: Pick<typeof zlib, 'zstdCompressSync' | 'zstdDecompressSync'>): Codec | string {
  if (zstdCompressSync === undefined || zstdDecompressSync === undefined) {
    return 'this Node has no zstd: 22.15, 23.8 and later have it'
  }
  return {
    // The stated size lets zstd choose tables and a window that fit a small body.
    compress: raw => zstdCompressSync(raw, { pledgedSrcSize: raw.length }),
    expand: (stored, rawLength) =>
      zstdDecompressSync(stored, {
        maxOutputLength: Math.max(1, rawLength),
        chunkSize: Math.min(Math.max(CHUNK_BYTES_MIN, rawLength), CHUNK_BYTES_MAX),
        params: { [ZSTD_D_WINDOW_LOG_MAX]: WINDOW_LOG_MAX },
      }),
  }
}
