import { hexToLatin1 } from '../../src/shared/format/bytes.ts'
import { CHAIN_DOMAIN, CHAIN_PREFIX_BYTES, GENESIS_HASH } from '../../src/shared/format/chain.ts'
import {
  createBytes,
  encodeChange,
  encodeCreate,
  encodeTrim,
  type OperationType,
  TRIM_BYTES,
} from '../../src/shared/format/operation.ts'
import { streamIdOf } from '../../src/shared/format/stream-id.ts'
import { stateHashOf, type StreamState } from '../../src/shared/format/stream-state.ts'
import { readConfig } from '../../src/workers/streams/stream-config.ts'
import type { Content } from './wire-samples.ts'

// The stream of the small store that the golden files tell, beside its records.

export const STREAM = 'orders'
export const CREATED_AT = 1_760_000_000_000_000
export const CONFIG = '{"durability":"group","maxSegmentBytes":67108864}'
export const TRIM_BEFORE = 2

/** As it was created. */
export const STATE: StreamState = {
  createdAt: CREATED_AT,
  config: readConfig(CONFIG),
  closed: false,
  firstOffset: 0,
}
/** After the trim. */
export const TRIMMED_STATE: StreamState = { ...STATE, firstOffset: TRIM_BEFORE }

export const CREATION_HASH = stateHashOf(STATE)
export const STREAM_NONCE = hexToLatin1('3d1c7a52e09b')
export const STREAM_ID = streamIdOf(STREAM_NONCE, CREATION_HASH, STREAM)

export function encodeCreateOperation(): Buffer {
  const bytes = Buffer.alloc(createBytes(STREAM, CONFIG))
  encodeCreate(bytes, 0, STREAM_ID, { createdAt: CREATED_AT, name: STREAM, config: CONFIG })
  return bytes
}

export function encodeTrimOperation(): Buffer {
  const bytes = Buffer.alloc(TRIM_BYTES)
  encodeTrim(bytes, 0, STREAM_ID, TRIM_BEFORE)
  return bytes
}

export function encodeChangeOperation(
  type: typeof OperationType.Configure | typeof OperationType.Close | typeof OperationType.Delete,
  config = '',
): Buffer {
  const bytes = Buffer.alloc(256)
  return bytes.subarray(0, encodeChange(bytes, 0, type, STREAM_ID, config))
}

/** The chain input of the first record, built by hand, because the code hashes it in pieces. */
export function encodeChainInput({ format, headers, body }: Content, timestamp: number): Buffer {
  const bytes = Buffer.alloc(CHAIN_PREFIX_BYTES + headers.length + body.length)
  bytes.latin1Write(CHAIN_DOMAIN + STREAM_ID + GENESIS_HASH)
  bytes.writeBigUInt64LE(0n, 64)
  bytes.writeBigUInt64LE(BigInt(timestamp), 72)
  bytes.writeUInt8(0, 80)
  bytes.writeUInt8(format, 81)
  bytes.writeUInt32LE(headers.length, 82)
  bytes.writeUInt32LE(body.length, 86)
  bytes.write(headers + body, CHAIN_PREFIX_BYTES)
  return bytes
}
