import { StoreError } from '../errors.ts'
import type { ReadPlan } from '../protocol/shard.ts'
import type { ReadRequest } from '../protocol/streams.ts'
import { expandRecord } from './expand.ts'
import { decodeRecord, RecordKind, type RecordView } from './record.ts'
import { Vouching } from './vouching.ts'

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

/** The data records among them, with the bodies that were appended. */
export function* dataRecords<Located extends LocatedRecord>(
  records: Iterable<Located>,
): Generator<Located> {
  for (const located of records) {
    if (located.record.kind === RecordKind.Data) yield { ...located, ...expandRecord(located) }
  }
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
export function isTailOnly({ since, low, high, nextOffset, stored }: ReadPlan): boolean {
  const isEmpty = low === high && high === nextOffset
  return since === undefined && (isEmpty || low >= stored.nextOffset)
}

/** The page of a plan that needs nothing from segments. */
export function selectFromTail(plan: ReadPlan, request: ReadRequest): PageSelection {
  const { tail } = plan
  const located = tailRecords(plan)
  const records =
    request.verify === 'none' || tail === null
      ? located
      : new Vouching(located, {
          streamId: plan.streamId,
          end: { hash: tail.chainHead, offset: tail.nextOffset },
          isStrict: false,
          hashBefore: () => tail.previousHash,
        }).records()
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
    if (located.record.offset === high - 1) break // what lies behind the page is not looked at
  }
  const page = window.items().toReversed()
  return {
    records: page,
    firstOffset: page[0]?.record.offset ?? high,
    nextOffset: high - page.length,
  }
}

/** The last of what is pushed that a page has room for; one at least. */
export class PageWindow<Item> {
  readonly #limit: number
  readonly #maxBytes: number
  #entries: { readonly item: Item; readonly bytes: number }[] = []
  #first = 0
  #bytes = 0
  #isFull = false

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
      this.#isFull = true
    }
    // What has gone is let go of, without moving the rest each time.
    if (2 * this.#first > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#first)
      this.#first = 0
    }
  }

  /** Whether something was pushed out, for want of room. */
  get isFull(): boolean {
    return this.#isFull
  }

  clear(): void {
    this.#entries = []
    this.#first = 0
    this.#bytes = 0
    this.#isFull = false
  }

  items(): Item[] {
    return this.#entries.slice(this.#first).map(({ item }) => item)
  }
}

function bodyBytes({ record }: LocatedRecord): number {
  return record.bodyEnd - record.bodyAt
}
