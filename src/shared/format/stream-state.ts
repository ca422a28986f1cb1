import { hash } from 'node:crypto'
import type { StreamConfig } from '../protocol/streams.ts'
import { writeU64 } from './bytes.ts'
import { layout } from './layout.ts'

// The state of a stream: its configuration, whether it is closed, its first offset and its time of
// creation. The stream id commits to the state at creation, and every checkpoint signs the current
// state. The hash covers values, not the JSON of the configuration, so equal states have equal
// hashes.

export const STATE_DOMAIN = 'varve.state.v1\0'
export const STATE_BYTES = 74

// biome-ignore format: a layout is read as a table
export const STATE_LAYOUT = { // little-endian
  //                 at width
  domain:          [  0, 15 ], //      STATE_DOMAIN
  createdAt:       [ 15,  8 ], // u64  µs since 1970
  firstOffset:     [ 23,  8 ], // u64  first record that is shown
  state:           [ 31,  1 ], // u8   0 open, 1 closed
  durability:      [ 32,  1 ], // u8   position in DURABILITIES
  compression:     [ 33,  1 ], // u8   position in COMPRESSIONS
  maxSegmentBytes: [ 34,  8 ], // u64
  checkpointEvery: [ 42,  8 ], // u64
  maxAgeSeconds:   [ 50,  8 ], // u64  0 keeps everything, as in the next two
  maxBytes:        [ 58,  8 ], // u64
  maxRecords:      [ 66,  8 ], // u64
} as const
const at = layout(STATE_BYTES, STATE_LAYOUT)

export const DURABILITIES = ['immediate', 'group', 'relaxed'] as const
export const COMPRESSIONS = ['none', 'lz4', 'zstd'] as const

export type StreamState = {
  /** µs since 1970 */
  readonly createdAt: number
  readonly config: StreamConfig
  readonly closed: boolean
  readonly firstOffset: number
}

/** Returns the bytes that the hash of a state covers. */
export function stateBytes({ createdAt, config, closed, firstOffset }: StreamState): Buffer {
  const { durability, compression, maxSegmentBytes, checkpointEvery, retention } = config
  const bytes = Buffer.allocUnsafe(STATE_BYTES)
  bytes.latin1Write(STATE_DOMAIN, at.domain)
  writeU64(bytes, at.createdAt, createdAt)
  writeU64(bytes, at.firstOffset, firstOffset)
  bytes[at.state] = closed ? 1 : 0
  bytes[at.durability] = DURABILITIES.indexOf(durability)
  bytes[at.compression] = COMPRESSIONS.indexOf(compression)
  writeU64(bytes, at.maxSegmentBytes, maxSegmentBytes)
  writeU64(bytes, at.checkpointEvery, checkpointEvery)
  writeU64(bytes, at.maxAgeSeconds, retention.maxAgeSeconds ?? 0)
  writeU64(bytes, at.maxBytes, retention.maxBytes ?? 0)
  writeU64(bytes, at.maxRecords, retention.maxRecords ?? 0)
  return bytes
}

/** Returns the hash of a state, 32 bytes as latin1. */
export function stateHashOf(state: StreamState): string {
  return hash('sha256', stateBytes(state), 'latin1')
}

/** Returns the hash of a stream's state at creation, 32 bytes as latin1. */
export function creationHashOf(createdAt: number, config: StreamConfig): string {
  return stateHashOf({ createdAt, config, closed: false, firstOffset: 0 })
}
