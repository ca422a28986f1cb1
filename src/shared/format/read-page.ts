import { StoreError } from '../errors.ts'
import type { ReadPlan } from '../protocol/shard.ts'
import type { ReadRequest } from '../protocol/streams.ts'
import { chainHashOf } from './chain.ts'
import { expandRecord } from './expand.ts'
import { decodeRecord, RecordKind, type RecordView } from './record.ts'

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
  for (const located of records) {
    if (located.record.previousHash !== head) throw brokenLink(located.record.offset)
    const { bytes, record } = expandRecord(located)
    head = chainHashOf(streamId, bytes, record)
    yield { bytes, record, hash: head }
  }
}

/** The data records among them, with the bodies that were appended. */
export function* dataRecords<Located extends LocatedRecord>(
  records: Iterable<Located>,
): Generator<Located> {
  for (const located of records) {
    if (located.record.kind === RecordKind.Data) yield { ...located, ...expandRecord(located) }
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
  return selectPage(dataRecords(records), plan.low, plan.high, request, plan.firstOffset)
}

/**
 * Chooses from records in order, those of `[low, high)` that the request's bounds allow.
 * @param firstOffset of the records that are kept: a backward read that gets there is done
 */
export function selectPage(
  records: Iterable<LocatedRecord>,
  low: number,
  high: number,
  request: ReadRequest,
  firstOffset: number,
): PageSelection {
  if (request.direction === 'forward') return selectForward(records, low, high, request)
  const page = selectBackward(records, low, high, request)
  return page.nextOffset > firstOffset ? page : { ...page, nextOffset: 0 }
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
    bytes += bodyBytes(located)
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
  // As they come: all that are before the last ones may expand to any size.
  const window = new PageWindow<LocatedRecord>(limit, maxBytes)
  for (const located of records) {
    if (located.record.offset < low) continue
    if (located.record.offset >= high) break
    window.push(located, bodyBytes(located))
  }
  const page = window.items().toReversed()
  return {
    records: page,
    firstOffset: page[0]?.record.offset ?? high,
    nextOffset: high - page.length,
  }
}

/**
 * Where a page backward over stored records starts, going by their headers: what is before that
 * need not be expanded. Undefined where there is no data record.
 */
export function lowestOfPage(
  records: Iterable<LocatedRecord>,
  { limit, maxBytes }: Pick<ReadRequest, 'limit' | 'maxBytes'>,
): number | undefined {
  const window = new PageWindow<number>(limit, maxBytes)
  for (const { record } of records) {
    if (record.kind === RecordKind.Data) window.push(record.offset, record.rawLength)
  }
  return window.items()[0]
}

/** The last of what is pushed that a page has room for; one at least. */
class PageWindow<Item> {
  readonly #limit: number
  readonly #maxBytes: number
  #entries: { readonly item: Item; readonly bytes: number }[] = []
  #first = 0
  #bytes = 0

  constructor(limit: number, maxBytes: number) {
    this.#limit = limit
    this.#maxBytes = maxBytes
  }

  push(item: Item, bytes: number): void {
    this.#entries.push({ item, bytes })
    this.#bytes += bytes
    for (
      let count = this.#entries.length - this.#first;
      count > this.#limit || (count > 1 && this.#bytes > this.#maxBytes);
      count -= 1
    ) {
      this.#bytes -= this.#entries[this.#first]?.bytes ?? 0
      this.#first += 1
    }
    // What has gone is let go of, without moving the rest each time.
    if (2 * this.#first > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#first)
      this.#first = 0
    }
  }

  items(): Item[] {
    return this.#entries.slice(this.#first).map(({ item }) => item)
  }
}

function bodyBytes({ record }: LocatedRecord): number {
  return record.bodyEnd - record.bodyAt
}
