import type { Producer } from '../protocol/streams.ts'
import { readU64, writeU64 } from './bytes.ts'
import { layout } from './layout.ts'
import { decodeProducer, encodeProducer, producerBytes } from './producer.ts'
import { decodeReference, encodeReference, type Reference, referenceBytes } from './reference.ts'
import { RECORD_OVERHEAD_BYTES } from './record.ts'

// What a frame's payload is made of: changes to streams, back to back. Every operation starts with
// the same header; what follows it depends on the type.

// biome-ignore format: one line a group
export const OperationType = {
  Create: 1, Configure: 2, Append: 3, Close: 4, Delete: 5, Trim: 6, Reference: 7,
} as const
export type OperationType = (typeof OperationType)[keyof typeof OperationType]

export const OPERATION_HEADER_BYTES = 24

// biome-ignore format: a layout is read as a table
export const OPERATION_LAYOUT = { // little-endian
  //          at width
  type:     [  0,  1 ], // u8   OperationType
  reserved: [  1,  3 ], //      zero
  length:   [  4,  4 ], // u32  bytes after this header
  streamId: [  8, 16 ], //
} as const
const at = layout(OPERATION_HEADER_BYTES, OPERATION_LAYOUT)

export const APPEND_HEADER_BYTES = 48

// biome-ignore format: a layout is read as a table
export const APPEND_LAYOUT = { // little-endian; the producer, then the records follow
  //                at width
  firstOffset:    [  0,  8 ], // u64
  count:          [  8,  4 ], // u32  data records; checkpoints among them do not count
  producerLength: [ 12,  4 ], // u32  bytes of the producer, maybe 0
  chainHead:      [ 16, 32 ], //      chain hash of the last record
} as const
const appendAt = layout(APPEND_HEADER_BYTES, APPEND_LAYOUT)

export const CREATE_HEADER_BYTES = 16

// biome-ignore format: a layout is read as a table
export const CREATE_LAYOUT = { // little-endian; the name (UTF-8), then the configuration (JSON) follow
  //              at width
  createdAt:    [  0, 8 ], // u64  µs since 1970
  nameLength:   [  8, 2 ], // u16
  configLength: [ 10, 2 ], // u16
  reserved:     [ 12, 4 ], // u32  zero
} as const
const createAt = layout(CREATE_HEADER_BYTES, CREATE_LAYOUT)

export type Operation = { readonly streamId: string; readonly end: number } & (
  | {
      readonly type: typeof OperationType.Create
      readonly createdAt: number
      readonly name: string
      readonly config: string
    }
  | { readonly type: typeof OperationType.Configure; readonly config: string }
  | {
      readonly type: typeof OperationType.Append
      readonly firstOffset: number
      readonly count: number
      readonly chainHead: string
      readonly producer: Producer | undefined
      readonly recordsAt: number
    }
  | { readonly type: typeof OperationType.Close | typeof OperationType.Delete }
  /** Records below `before` are no longer kept. */
  | { readonly type: typeof OperationType.Trim; readonly before: number }
  | { readonly type: typeof OperationType.Reference; readonly reference: Reference }
)

/** Bytes that come before the records of an append operation. */
export function appendPrefixBytes(producer: Producer | undefined): number {
  return OPERATION_HEADER_BYTES + APPEND_HEADER_BYTES + producerBytes(producer)
}

function encodeHeader(
  target: Buffer,
  start: number,
  type: OperationType,
  streamId: string,
  length: number,
): number {
  target.writeUInt32LE(type, start + at.type) // the reserved bytes are zero
  target.writeUInt32LE(length, start + at.length)
  target.latin1Write(streamId, start + at.streamId, 16)
  return start + OPERATION_HEADER_BYTES
}

/**
 * Writes what comes before the records of an append; they lie right behind it, `recordsLength`
 * bytes.
 */
export function encodeAppendPrefix(
  target: Buffer,
  start: number,
  streamId: string,
  fields: { firstOffset: number; count: number; chainHead: string },
  recordsLength: number,
  producer?: Producer,
): void {
  const producerLength = producerBytes(producer)
  const length = APPEND_HEADER_BYTES + producerLength + recordsLength
  const bodyAt = encodeHeader(target, start, OperationType.Append, streamId, length)
  writeU64(target, bodyAt + appendAt.firstOffset, fields.firstOffset)
  target.writeUInt32LE(fields.count, bodyAt + appendAt.count)
  target.writeUInt32LE(producerLength, bodyAt + appendAt.producerLength)
  target.latin1Write(fields.chainHead, bodyAt + appendAt.chainHead, 32)
  if (producer !== undefined) encodeProducer(target, bodyAt + APPEND_HEADER_BYTES, producer)
}

export function createBytes(name: string, config: string): number {
  const variable = Buffer.byteLength(name) + Buffer.byteLength(config)
  return OPERATION_HEADER_BYTES + CREATE_HEADER_BYTES + variable
}

export function encodeCreate(
  target: Buffer,
  start: number,
  streamId: string,
  fields: { createdAt: number; name: string; config: string },
): number {
  const length = createBytes(fields.name, fields.config) - OPERATION_HEADER_BYTES
  const bodyAt = encodeHeader(target, start, OperationType.Create, streamId, length)
  const nameAt = bodyAt + CREATE_HEADER_BYTES
  const nameLength = target.utf8Write(fields.name, nameAt)
  const configLength = target.utf8Write(fields.config, nameAt + nameLength)
  writeU64(target, bodyAt + createAt.createdAt, fields.createdAt)
  target.writeUInt16LE(nameLength, bodyAt + createAt.nameLength)
  target.writeUInt16LE(configLength, bodyAt + createAt.configLength)
  target.writeUInt32LE(0, bodyAt + createAt.reserved)
  return nameAt + nameLength + configLength
}

/** Writes an operation that carries nothing (close, delete) or only a configuration. */
export function encodeChange(
  target: Buffer,
  start: number,
  type: OperationType,
  streamId: string,
  config = '',
): number {
  const bodyAt = encodeHeader(target, start, type, streamId, Buffer.byteLength(config))
  return bodyAt + target.utf8Write(config, bodyAt)
}

export function referenceOperationBytes(producer: Producer | undefined): number {
  return OPERATION_HEADER_BYTES + referenceBytes(producer)
}

export function encodeReferenceOperation(
  target: Buffer,
  start: number,
  streamId: string,
  reference: Reference,
): number {
  const length = referenceBytes(reference.producer)
  const bodyAt = encodeHeader(target, start, OperationType.Reference, streamId, length)
  return encodeReference(target, bodyAt, reference)
}

export const TRIM_BYTES = OPERATION_HEADER_BYTES + 8

export function encodeTrim(
  target: Buffer,
  start: number,
  streamId: string,
  before: number,
): number {
  const bodyAt = encodeHeader(target, start, OperationType.Trim, streamId, 8)
  writeU64(target, bodyAt, before)
  return bodyAt + 8
}

/**
 * Decodes the operation at `start`, which must end by `limit`; undefined when it makes no sense.
 */
export function decodeOperation(
  bytes: Buffer,
  start: number,
  limit: number,
): Operation | undefined {
  const bodyAt = start + OPERATION_HEADER_BYTES
  if (bodyAt > limit) return undefined
  const type = bytes.readUInt32LE(start + at.type)
  const end = bodyAt + bytes.readUInt32LE(start + at.length)
  if (end > limit) return undefined
  const common = { streamId: bytes.latin1Slice(start + at.streamId, bodyAt), end }
  switch (type) {
    case OperationType.Append:
      return decodeAppend(bytes, bodyAt, common)
    case OperationType.Create:
      return decodeCreate(bytes, bodyAt, common)
    case OperationType.Configure:
      return { type, ...common, config: bytes.utf8Slice(bodyAt, end) }
    case OperationType.Close:
    case OperationType.Delete:
      return end === bodyAt ? { type, ...common } : undefined
    case OperationType.Trim: {
      const before = end === bodyAt + 8 ? readU64(bytes, bodyAt) : Number.NaN
      return Number.isNaN(before) ? undefined : { type, ...common, before }
    }
    case OperationType.Reference: {
      const reference = decodeReference(bytes, bodyAt, end)
      return reference && { type, ...common, reference }
    }
    default:
      return undefined
  }
}

type Common = { readonly streamId: string; readonly end: number }

function decodeAppend(bytes: Buffer, bodyAt: number, common: Common): Operation | undefined {
  const producerAt = bodyAt + APPEND_HEADER_BYTES
  if (producerAt > common.end) return undefined
  const recordsAt = producerAt + bytes.readUInt32LE(bodyAt + appendAt.producerLength)
  if (recordsAt >= common.end) return undefined
  const producer = recordsAt > producerAt ? decodeProducer(bytes, producerAt, recordsAt) : null
  const firstOffset = readU64(bytes, bodyAt + appendAt.firstOffset)
  const count = bytes.readUInt32LE(bodyAt + appendAt.count)
  const sound =
    !Number.isNaN(firstOffset) &&
    producer !== undefined &&
    count * RECORD_OVERHEAD_BYTES <= common.end - recordsAt
  if (!sound) return undefined
  const chainHeadAt = bodyAt + appendAt.chainHead
  return {
    type: OperationType.Append,
    ...common,
    firstOffset,
    count,
    chainHead: bytes.latin1Slice(chainHeadAt, chainHeadAt + 32),
    producer: producer ?? undefined,
    recordsAt,
  }
}

function decodeCreate(bytes: Buffer, bodyAt: number, common: Common): Operation | undefined {
  const nameAt = bodyAt + CREATE_HEADER_BYTES
  if (nameAt > common.end) return undefined
  const createdAt = readU64(bytes, bodyAt + createAt.createdAt)
  const configAt = nameAt + bytes.readUInt16LE(bodyAt + createAt.nameLength)
  const configEnd = configAt + bytes.readUInt16LE(bodyAt + createAt.configLength)
  const sound =
    configEnd === common.end &&
    bytes.readUInt32LE(bodyAt + createAt.reserved) === 0 &&
    !Number.isNaN(createdAt)
  if (!sound) return undefined
  const name = bytes.utf8Slice(nameAt, configAt)
  return {
    type: OperationType.Create,
    ...common,
    createdAt,
    name,
    config: bytes.utf8Slice(configAt, configEnd),
  }
}
