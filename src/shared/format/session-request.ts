import { isUtf8 } from 'node:buffer'
import { StoreError } from '../errors.ts'
import { PRODUCER_ID_BYTES_MAX } from '../limits.ts'
import type { Durability, Producer } from '../protocol/streams.ts'
import { readU64 } from './bytes.ts'
import { layout } from './layout.ts'

// A binary message of the append session (api.md): this header, the stream's name, the producer
// section where a flag says so, then the batch encoding to the message's end.

export const SESSION_REQUEST_HEADER_BYTES = 16
export const SESSION_PRODUCER_BYTES = 18

// biome-ignore format: a layout is read as a table
export const SESSION_REQUEST_LAYOUT = { // little-endian
  //               at width
  id:             [ 0, 4 ], // u32  comes back in the answer
  nameLength:     [ 4, 2 ], // u16
  flags:          [ 6, 2 ], // u16  SessionFlag
  expectedOffset: [ 8, 8 ], // i64  -1: none
} as const
const at = layout(SESSION_REQUEST_HEADER_BYTES, SESSION_REQUEST_LAYOUT)

// biome-ignore format: a layout is read as a table
export const SESSION_PRODUCER_LAYOUT = { // little-endian; the producer's id follows
  //         at width
  epoch:    [ 0, 8 ], // u64
  seq:      [ 8, 8 ], // u64
  idLength: [16, 2 ], // u16
} as const
const producerAt = layout(SESSION_PRODUCER_BYTES, SESSION_PRODUCER_LAYOUT)

export const SessionFlag = {
  /** Two bits: 0 the stream's durability, else 1 + the place in `DURABILITIES`. */
  Durability: 3,
  /** The producer section is there. */
  Producer: 4,
  /** A failed append's answer carries the problem. */
  Problem: 8,
} as const
const FLAGS_KNOWN = SessionFlag.Durability | SessionFlag.Producer | SessionFlag.Problem
const DURABILITIES: readonly (Durability | undefined)[] = [
  undefined,
  'immediate',
  'group',
  'relaxed',
]
const TWO_TO_32 = 0x1_0000_0000

export type SessionRequestHeader = {
  readonly id: number
  readonly wantsProblem: boolean
  readonly durability: Durability | undefined
  readonly expectedOffset: number | undefined
  readonly producer: Producer | undefined
  /** The name's bytes are [SESSION_REQUEST_HEADER_BYTES, nameEnd). */
  readonly nameEnd: number
  /** Where the batch encoding starts. */
  readonly batchAt: number
}

/** Whether a message is long enough to have an id that can be answered. */
export function hasSessionId(message: Buffer): boolean {
  return message.length >= SESSION_REQUEST_HEADER_BYTES
}

/** Of a message that has one. */
export function readSessionId(message: Buffer): number {
  return message.readUInt32LE(at.id)
}

/** Whether failures of a message that has an id are answered with their problem. */
export function wantsSessionProblem(message: Buffer): boolean {
  return (message.readUInt16LE(at.flags) & SessionFlag.Problem) !== 0
}

/**
 * Decodes everything but the name and the batch; `message` has an id.
 * @throws StoreError invalid_request
 */
export function decodeSessionRequest(message: Buffer): SessionRequestHeader {
  const flags = message.readUInt16LE(at.flags)
  if ((flags & ~FLAGS_KNOWN) !== 0) throw invalid('the message has a flag that is not known')
  const nameEnd = SESSION_REQUEST_HEADER_BYTES + message.readUInt16LE(at.nameLength)
  if (nameEnd > message.length) throw invalid('the message ends within the name')
  const hasProducer = (flags & SessionFlag.Producer) !== 0
  const batchAt = hasProducer ? endOfProducer(message, nameEnd) : nameEnd
  return {
    id: readSessionId(message),
    wantsProblem: (flags & SessionFlag.Problem) !== 0,
    durability: DURABILITIES[flags & SessionFlag.Durability],
    expectedOffset: readExpectedOffset(message),
    producer: hasProducer ? readProducer(message, nameEnd, batchAt) : undefined,
    nameEnd,
    batchAt,
  }
}

function readExpectedOffset(message: Buffer): number | undefined {
  const high = message.readInt32LE(at.expectedOffset + 4)
  const offset = high * TWO_TO_32 + message.readUInt32LE(at.expectedOffset)
  if (offset === -1) return undefined
  if (offset >= 0 && Number.isSafeInteger(offset)) return offset
  throw invalid('expectedOffset is neither an offset nor -1')
}

function endOfProducer(message: Buffer, start: number): number {
  const idAt = start + SESSION_PRODUCER_BYTES
  if (idAt > message.length) throw invalid('the message ends within the producer section')
  const end = idAt + message.readUInt16LE(start + producerAt.idLength)
  if (end > message.length) throw invalid('the message ends within the producer section')
  return end
}

function readProducer(message: Buffer, start: number, end: number): Producer {
  const epoch = readU64(message, start + producerAt.epoch)
  const seq = readU64(message, start + producerAt.seq)
  const idAt = start + SESSION_PRODUCER_BYTES
  if (Number.isNaN(epoch) || Number.isNaN(seq)) {
    throw invalid('epoch or seq of the producer is above 2^53 - 1')
  }
  const idLength = end - idAt
  if (idLength === 0 || idLength > PRODUCER_ID_BYTES_MAX) {
    throw invalid(`the producer's id does not have 1 to ${PRODUCER_ID_BYTES_MAX} bytes`)
  }
  if (!isUtf8(message.subarray(idAt, end))) throw invalid("the producer's id is not valid UTF-8")
  return { id: message.utf8Slice(idAt, end), epoch, seq }
}

function invalid(detail: string): StoreError {
  return new StoreError('invalid_request', detail)
}
