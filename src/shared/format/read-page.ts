import { StoreError } from '../errors.ts'
import type { ReadPlan } from '../protocol/shard.ts'
import type { ReadRequest } from '../protocol/streams.ts'
import { chainHashOf } from './chain.ts'
import { decodeRecord, type RecordView } from './record.ts'

// What a read returns, chosen from records that come in order. Pure: a reader thread feeds it from
// segments, the front end from memory alone.

/** A whole, checked record and the bytes that it lies in. */
export type LocatedRecord = { readonly bytes: Buffer; readonly record: RecordView }

/** A record of a verified read with its own chain hash, latin1. */
export type LinkedRecord = LocatedRecord & { readonly hash: string }

export type PageSelection = {
  readonly records: readonly (LocatedRecord | LinkedRecord)[]
  readonly firstOffset: number
  readonly nextOffset: number
}

/**
 * Passes records on after checking that each one links to the one before.
 * @param previousHash chain hash before the first of them, latin1
 * @throws StoreError corrupt_record at the first that does not
 */
export function* checkLinks(
  records: Iterable<LocatedRecord>,
  streamId: string,
  previousHash: string,
): Generator<LinkedRecord> {
  let head = previousHash
  for (const { bytes, record } of records) {
    if (record.previousHash !== head) throw brokenLink(record.offset)
    head = chainHashOf(streamId, bytes, record)
    yield { bytes, record, hash: head }
  }
}

/**
 * @throws StoreError corrupt_record when a chain that ended at `offset` is not the one expected
 * there
 */
export function checkHead(hash: string, expected: string, offset: number): void {
  if (hash !== expected) throw brokenLink(offset)
}

function brokenLink(offset: number): StoreError {
  return new StoreError('corrupt_record', `record ${offset} does not link to the one before`, {
    firstCorruptOffset: offset,
    nextReadableOffset: offset + 1,
  })
}

/** The records of a plan's tail, from its first on. */
export function* tailRecords(plan: ReadPlan): Generator<LocatedRecord> {
  if (plan.tail === null) return
  const { records } = plan.tail
  const bytes = Buffer.from(records.buffer, records.byteOffset, records.length)
  for (let at = 0; at < bytes.length; ) {
    const record = decodeRecord(bytes, at)
    if (record === undefined) throw new StoreError('internal', 'a record in memory does not check')
    yield { bytes, record }
    at = record.end
  }
}

/** Whether a plan needs nothing from segments. */
export function isTailOnly(plan: ReadPlan): boolean {
  return plan.since === undefined && (plan.low === plan.high || plan.low >= plan.stored.nextOffset)
}

/** The page of a plan that needs nothing from segments. */
export function selectFromTail(plan: ReadPlan, request: ReadRequest): PageSelection {
  const located = tailRecords(plan)
  const records =
    request.verify === 'none' || plan.tail === null
      ? located
      : checkLinks(located, plan.streamId, plan.tail.previousHash)
  return selectPage(records, plan.low, plan.high, request)
}

/** Chooses from records in order, those of `[low, high)` that the request's bounds allow. */
export function selectPage(
  records: Iterable<LocatedRecord>,
  low: number,
  high: number,
  request: ReadRequest,
): PageSelection {
  return request.direction === 'forward'
    ? selectForward(records, low, high, request)
    : selectBackward(records, low, high, request)
}

function selectForward(
  records: Iterable<LocatedRecord>,
  low: number,
  high: number,
  { limit, maxBytes }: ReadRequest,
): PageSelection {
  const chosen: LocatedRecord[] = []
  let bytes = 0
  for (const located of records) {
    const { record } = located
    if (record.offset < low) continue
    bytes += record.bodyEnd - record.bodyAt
    if (record.offset >= high || (chosen.length > 0 && bytes > maxBytes)) break
    chosen.push(located)
    if (chosen.length === limit) break
  }
  return { records: chosen, firstOffset: low, nextOffset: low + chosen.length }
}

function selectBackward(
  records: Iterable<LocatedRecord>,
  low: number,
  high: number,
  { limit, maxBytes }: ReadRequest,
): PageSelection {
  const chosen: LocatedRecord[] = []
  let bytes = 0
  for (const located of [...records].toReversed()) {
    const { record } = located
    if (record.offset >= high) continue
    bytes += record.bodyEnd - record.bodyAt
    const isFull = chosen.length === limit || (chosen.length > 0 && bytes > maxBytes)
    if (record.offset < low || isFull) break
    chosen.push(located)
  }
  return {
    records: chosen,
    firstOffset: chosen[0]?.record.offset ?? high,
    nextOffset: high - chosen.length,
  }
}
