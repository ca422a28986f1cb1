import { StoreError } from '../errors.ts'
import type { ReadPlan } from '../protocol/shard.ts'
import type { ReadRequest } from '../protocol/streams.ts'
import { hexToLatin1, latin1ToHex } from './bytes.ts'
import { chainHashOf, GENESIS_HASH } from './chain.ts'
import { type PageSelection, tailRecords } from './read-page.ts'
import { RecordKind } from './record.ts'

// A cursor is an offset and the hash of the data record before it. A read that continues from a
// cursor fails if the stream's history before it has changed.

/** Returns the record hash (latin1) before an offset; undefined where the record is lost. */
export type HashLookup = (offset: number) => string | undefined

/**
 * Returns the hash of the data record before `offset` from the plan alone; undefined if that takes
 * a read of a segment.
 */
function plannedHashBefore(plan: ReadPlan, offset: number): string | undefined {
  const { nextOffset, recordHash, stored, tail, trimPoint } = plan
  if (offset === 0) return GENESIS_HASH
  if (offset === nextOffset) return recordHash
  if (tail !== null && offset >= tail.firstOffset) {
    if (offset === tail.firstOffset) return tail.previousRecordHash
    return offset === tail.nextOffset ? tail.recordHash : claimBehind(plan, offset - 1)
  }
  if (offset === stored.nextOffset) return stored.recordHash
  // Unknown where the segment before the trim point was lost: empty, and zeros once stored.
  const isKnown = trimPoint.recordHash !== '' && trimPoint.recordHash !== GENESIS_HASH
  return offset === trimPoint.offset && isKnown ? trimPoint.recordHash : undefined
}

/** Returns the hash of data record `offset` of the tail, from the element right after it. */
function claimBehind(plan: ReadPlan, offset: number): string | undefined {
  let isBehind = false
  for (const { record } of tailRecords(plan)) {
    if (isBehind) return record.previousHash
    isBehind = record.kind === RecordKind.Data && record.offset === offset
  }
  return undefined
}

/**
 * Checks the hash that a read expects before its start.
 * @throws StoreError history_mismatch; corrupt_record when that record is lost
 */
export function checkCursor(plan: ReadPlan, request: ReadRequest, lookUp: HashLookup): void {
  const { after, direction } = request
  if (after === undefined) return
  const offset = direction === 'forward' ? plan.low : plan.high
  const actual = plannedHashBefore(plan, offset) ?? lookUp(offset)
  const { trimPoint, streamId } = plan
  const expected = hexToLatin1(after)
  if (expected === actual) return
  // The chain hash there is what checkpoints and stream info of that moment show.
  if (offset === trimPoint.offset && expected === trimPoint.hash) return
  if (actual === undefined) {
    const range = { firstCorruptOffset: offset - 1, nextReadableOffset: offset }
    const detail = `record ${offset - 1} cannot be read, so its hash cannot be compared with after`
    throw new StoreError('corrupt_record', detail, range)
  }
  throw historyMismatch(plan.stream, offset, actual, streamId)
}

/** @param actual record hash before `offset`, latin1 */
export function historyMismatch(
  stream: string,
  offset: number,
  actual: string,
  streamId: string,
): StoreError {
  const name = JSON.stringify(stream)
  const detail =
    `the history of stream ${name} before offset ${offset} is not the one that was read: ` +
    'it was created again, restored from a backup or rewritten; read it again from its start'
  const fields = { actualHash: latin1ToHex(actual), streamId: latin1ToHex(streamId) }
  return new StoreError('history_mismatch', detail, fields)
}

/**
 * Returns the hash (hex) of the record before the offset where the next read starts; null if that
 * record is lost.
 */
export function lastHashOf(
  plan: ReadPlan,
  { records, firstOffset }: PageSelection,
  { direction }: ReadRequest,
  lookUp: HashLookup,
): string | null {
  const last = records.at(-1)
  if (last !== undefined && direction === 'forward') {
    return latin1ToHex(
      'hash' in last ? last.hash : chainHashOf(plan.streamId, last.bytes, last.record),
    )
  }
  const offset = last === undefined ? firstOffset : last.record.offset
  const hash = plannedHashBefore(plan, offset) ?? lookUp(offset)
  return hash === undefined ? null : latin1ToHex(hash)
}
