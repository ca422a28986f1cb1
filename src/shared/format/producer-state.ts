import { PRODUCER_ID_BYTES_MAX } from '../limits.ts'
import { readU64, writeU64 } from './bytes.ts'
import { layout } from './layout.ts'

// What a stream remembers of a producer, in its catalogue entry: enough to answer a repeat of a
// recent append as the first time.

const STATE_HEADER_BYTES = 20

// biome-ignore format: a layout is read as a table
export const PRODUCER_STATE_LAYOUT = { // little-endian; the id (UTF-8), then the results follow
  //          at width
  epoch:    [  0, 8 ], // u64
  lastSeq:  [  8, 8 ], // u64  the last one accepted
  idLength: [ 16, 2 ], // u16  1 to 128
  results:  [ 18, 2 ], // u16  1 to lastSeq + 1; the last one is that of lastSeq
} as const
const at = layout(STATE_HEADER_BYTES, PRODUCER_STATE_LAYOUT)

const RESULT_BYTES = 88

// biome-ignore format: a layout is read as a table
export const PRODUCER_RESULT_LAYOUT = { // little-endian
  //             at width
  firstOffset: [  0,  8 ], // u64
  nextOffset:  [  8,  8 ], // u64
  timestamp:   [ 16,  8 ], // u64  µs since 1970
  recordHash:  [ 24, 32 ], //      hash of the last data record of the append
  chainHead:   [ 56, 32 ], //      chain hash after it, a checkpoint that came with it included
} as const
const resultAt = layout(RESULT_BYTES, PRODUCER_RESULT_LAYOUT)

/** What an append was answered with. */
export type ProducerResult = {
  readonly firstOffset: number
  readonly nextOffset: number
  /** µs since 1970 */
  readonly timestamp: number
  /** latin1: hash of the append's last data record */
  readonly recordHash: string
  /** latin1: chain hash after it, a checkpoint that came with it included */
  readonly chainHead: string
}

export type ProducerState = {
  readonly id: string
  readonly epoch: number
  readonly lastSeq: number
  /** Of the last appends, dense by seq; never empty. */
  readonly results: readonly ProducerResult[]
}

export function producerStatesBytes(states: readonly ProducerState[]): number {
  return states.reduce(
    (sum, { id, results }) =>
      sum + STATE_HEADER_BYTES + Buffer.byteLength(id) + results.length * RESULT_BYTES,
    0,
  )
}

/** Writes the states back to back from `start`; returns where they end. */
export function encodeProducerStates(
  target: Buffer,
  start: number,
  states: readonly ProducerState[],
): number {
  let end = start
  for (const { id, epoch, lastSeq, results } of states) {
    writeU64(target, end + at.epoch, epoch)
    writeU64(target, end + at.lastSeq, lastSeq)
    const idLength = target.utf8Write(id, end + STATE_HEADER_BYTES)
    target.writeUInt16LE(idLength, end + at.idLength)
    target.writeUInt16LE(results.length, end + at.results)
    end += STATE_HEADER_BYTES + idLength
    for (const result of results) end = encodeResult(target, end, result)
  }
  return end
}

function encodeResult(target: Buffer, start: number, result: ProducerResult): number {
  writeU64(target, start + resultAt.firstOffset, result.firstOffset)
  writeU64(target, start + resultAt.nextOffset, result.nextOffset)
  writeU64(target, start + resultAt.timestamp, result.timestamp)
  target.latin1Write(result.recordHash, start + resultAt.recordHash, 32)
  target.latin1Write(result.chainHead, start + resultAt.chainHead, 32)
  return start + RESULT_BYTES
}

/** The states that fill `[start, end)`; undefined when that makes none. */
export function decodeProducerStates(
  bytes: Buffer,
  start: number,
  end: number,
): ProducerState[] | undefined {
  const states: ProducerState[] = []
  for (let from = start; from < end; ) {
    const idAt = from + STATE_HEADER_BYTES
    if (idAt > end) return undefined
    const idLength = bytes.readUInt16LE(from + at.idLength)
    const count = bytes.readUInt16LE(from + at.results)
    const resultsAt = idAt + idLength
    if (idLength === 0 || idLength > PRODUCER_ID_BYTES_MAX) return undefined
    if (count === 0 || resultsAt + count * RESULT_BYTES > end) return undefined
    const results = Array.from({ length: count }, (_, index) =>
      decodeResult(bytes, resultsAt + index * RESULT_BYTES),
    )
    const epoch = readU64(bytes, from + at.epoch)
    const lastSeq = readU64(bytes, from + at.lastSeq)
    const numbers = results.reduce(
      (sum, { firstOffset, nextOffset, timestamp }) => sum + firstOffset + nextOffset + timestamp,
      epoch + lastSeq,
    )
    if (Number.isNaN(numbers) || count > lastSeq + 1) return undefined
    states.push({ id: bytes.utf8Slice(idAt, resultsAt), epoch, lastSeq, results })
    from = resultsAt + count * RESULT_BYTES
  }
  return states
}

function decodeResult(bytes: Buffer, start: number): ProducerResult {
  const recordHashAt = start + resultAt.recordHash
  const chainHeadAt = start + resultAt.chainHead
  return {
    firstOffset: readU64(bytes, start + resultAt.firstOffset),
    nextOffset: readU64(bytes, start + resultAt.nextOffset),
    timestamp: readU64(bytes, start + resultAt.timestamp),
    recordHash: bytes.latin1Slice(recordHashAt, recordHashAt + 32),
    chainHead: bytes.latin1Slice(chainHeadAt, chainHeadAt + 32),
  }
}
