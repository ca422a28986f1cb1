import { StoreError } from '../../shared/errors.ts'
import { latin1ToHex } from '../../shared/format/bytes.ts'
import { checkCursor, lastHashOf } from '../../shared/format/cursor.ts'
import {
  dataRecords,
  type LocatedRecord,
  type PageSelection,
  PageWindow,
  selectPage,
  tailRecords,
} from '../../shared/format/read-page.ts'
import { RecordKind } from '../../shared/format/record.ts'
import { type ChainElement, Vouching } from '../../shared/format/vouching.ts'
import type { ReadPlan } from '../../shared/protocol/shard.ts'
import type { ReadRequest, VerifyReport } from '../../shared/protocol/streams.ts'
import type { Disk } from '../disk/disk.ts'
import { SegmentReader } from './segment-reader.ts'
import { SignedWalk } from './signed-walk.ts'

// Joins what segments hold with the tail that the shard sent along, verifies what was asked for,
// and chooses the page.

/** Framing that bodies may come with, allowed for when a backward read looks for its start. */
const FRAMING_FACTOR = 2

export type StreamRead = {
  readonly selection: PageSelection
  /** 64 hex digits; null where the record is lost. */
  readonly lastHash: string | null
  /** Offset of the page's last record, where all that follows it is lost. */
  readonly unvouched?: number
  /** Records of the page below this offset are under a checked signature. */
  readonly signedThrough?: number
  readonly staleIndex: SegmentReader['staleIndex']
  readonly isManifestStale: boolean
}

type Bounds = { readonly low: number; readonly high: number }
type Proved = Pick<StreamRead, 'selection' | 'unvouched' | 'signedThrough'>

/** @throws StoreError corrupt_record, history_mismatch */
export function readStream(disk: Disk, plan: ReadPlan, request: ReadRequest): StreamRead {
  const reader = new SegmentReader(disk, plan)
  const lookUp = (offset: number) => reader.recordHashBefore(offset)
  checkCursor(plan, request, lookUp)
  const bounds = range(reader, plan, request)
  const proved = prove(disk, reader, plan, bounds, request)
  const lastHash = lastHashOf(plan, proved.selection, request, lookUp)
  const { staleIndex, isManifestStale } = reader
  return { ...proved, lastHash, staleIndex, isManifestStale }
}

function prove(
  disk: Disk,
  reader: SegmentReader,
  plan: ReadPlan,
  bounds: Bounds,
  request: ReadRequest,
): Proved {
  const { low, high } = bounds
  const select = (records: Iterable<LocatedRecord>) =>
    selectPage(dataRecords(records), low, high, request, plan.firstOffset)
  if (low === high) return { selection: select([]) }
  switch (request.verify) {
    case 'none': {
      const stored = reader.dataRecords(low, Math.min(high, plan.stored.nextOffset))
      const tail = high > plan.stored.nextOffset ? tailRecords(plan) : []
      return { selection: select(concat(stored, tail)) }
    }
    case 'links': {
      const vouching = vouch(reader, plan, elements(reader, plan, low, high), low, false)
      const selection = select(vouching.records())
      const { unvouched } = vouching
      const isShown = selection.records.some(({ record }) => record.offset === unvouched)
      return isShown && unvouched !== undefined ? { selection, unvouched } : { selection }
    }
    case 'checkpoint':
    case 'genesis': {
      const isWhole = request.verify === 'genesis'
      const all = isWhole ? elementsFromStart(reader, plan) : elements(reader, plan, low)
      const walk = new SignedWalk(disk, plan, vouch(reader, plan, all, low, true))
      return proveSigned(walk, select, request, plan.high)
    }
  }
}

/** The page, and the chain above it as far as the next signature, or the head. */
function proveSigned(
  walk: SignedWalk,
  select: (records: Iterable<LocatedRecord>) => PageSelection,
  { direction }: ReadRequest,
  high: number,
): Proved {
  try {
    const selection = select(walk.open())
    const end = direction === 'forward' ? selection.nextOffset : high
    walk.finish(end)
    const [first, last] = [selection.firstOffset, selection.nextOffset]
    const lowest = direction === 'forward' ? first : last
    return { selection, signedThrough: Math.max(lowest, Math.min(walk.signedThrough, end)) }
  } finally {
    walk.close()
  }
}

/** What lies in the chain from record `low` on, or from the start of the append that holds it. */
function* elements(
  reader: SegmentReader,
  plan: ReadPlan,
  low: number,
  claimAt?: number,
): Generator<ChainElement> {
  if (low < plan.stored.nextOffset) yield* reader.elements(low, claimAt)
  yield* tailRecords(plan)
}

/** The same from the first record that is kept. Checkpoints may be all that is stored. */
function* elementsFromStart(reader: SegmentReader, plan: ReadPlan): Generator<ChainElement> {
  yield* reader.elementsFromStart()
  yield* tailRecords(plan)
}

function vouch(
  reader: SegmentReader,
  plan: ReadPlan,
  all: Iterable<ChainElement>,
  low: number,
  isStrict: boolean,
): Vouching {
  const { tail, stored, streamId } = plan
  const { chainHead: hash, nextOffset: offset } = tail ?? stored
  const hashBefore = () => (low < stored.nextOffset ? reader.hashBefore(low) : tail?.previousHash)
  return new Vouching(all, { streamId, end: { hash, offset }, isStrict, hashBefore })
}

/**
 * Checks the chain over `[from, to)`: from the nearest checkpoint at or below `from`, or from the
 * first record that is kept, to the next signature at or above `to`, or the head.
 */
export function verifyStream(disk: Disk, plan: ReadPlan, from: number, to: number): VerifyReport {
  const reader = new SegmentReader(disk, plan)
  const anchor = anchorOf(reader, plan, from)
  const walk = new SignedWalk(disk, plan, vouch(reader, plan, anchor.elements, from, true))
  let verifiedRecords = 0
  let chainHead = anchor.before
  let failure: VerifyReport['failure'] = null
  try {
    for (const { record, hash } of walk.open()) {
      if (record.offset >= to && to < plan.nextOffset) break
      if (record.kind === RecordKind.Data && record.offset >= from) verifiedRecords += 1
      chainHead = hash
    }
    walk.finish(to)
  } catch (error) {
    failure = failureOf(error, walk, to)
  } finally {
    walk.close()
  }
  const ok = failure === null
  const head = latin1ToHex(chainHead)
  return { ok, verifiedRecords, from, to, chainHead: head, anchor: anchor.kind, failure }
}

/**
 * Damage above a range is no failure of it, unless the last record's follower is lost to it. A
 * signature above that does not check is one.
 */
function failureOf(error: unknown, walk: SignedWalk, to: number): VerifyReport['failure'] {
  if (!(error instanceof StoreError) || error.code !== 'corrupt_record') throw error
  const offset = Number(error.fields['firstCorruptOffset'])
  const isVouched = walk.unvouched === undefined || walk.unvouched >= to
  if (offset >= to && isVouched && walk.signatureFailure === undefined) return null
  return { offset, reason: error.message }
}

type Anchor = {
  readonly kind: VerifyReport['anchor']
  /** Chain hash before the first element. */
  readonly before: string
  readonly elements: Iterable<ChainElement>
}

function anchorOf(reader: SegmentReader, plan: ReadPlan, from: number): Anchor {
  const tail = [...tailRecords(plan)]
  const { firstOffset, trimPoint, stored } = plan
  // The plan carries the whole tail if and only if the walk begins at the trim point. A trim that
  // is not stored yet has not moved the trim point, so it may be far below `firstOffset`.
  const isInside = from > firstOffset
  const at = tail.findLastIndex(
    ({ record }) => record.kind === RecordKind.Checkpoint && record.offset <= from,
  )
  const inTail = isInside ? tail[at] : undefined
  if (inTail !== undefined) {
    return { kind: 'checkpoint', before: inTail.record.previousHash, elements: tail.slice(at) }
  }
  const end = Math.min(from, stored.nextOffset)
  const place = isInside ? reader.checkpointAtOrBelow(end) : undefined
  if (place === undefined) {
    const kind = trimPoint.offset === 0 ? 'genesis' : 'trim'
    return { kind, before: trimPoint.hash, elements: elementsFromStart(reader, plan) }
  }
  const before = reader.previousHashAt(place) ?? trimPoint.hash
  return { kind: 'checkpoint', before, elements: concat(reader.elementsFrom(place), tail) }
}

function range(reader: SegmentReader, plan: ReadPlan, request: ReadRequest): Bounds {
  if (plan.since !== undefined) return rangeSince(reader, plan, plan.since, request.limit)
  if (request.direction === 'forward') return plan
  // A tail cut short because it alone fills the page leaves the segments out of a backward read.
  const storedEnd = Math.min(plan.high, plan.stored.nextOffset)
  const tailStart = plan.tail?.firstOffset ?? plan.high
  const isCut = tailStart < plan.high && tailStart > Math.max(plan.low, storedEnd)
  if (isCut) return { low: tailStart, high: plan.high }
  if (plan.low >= storedEnd) return plan
  const low = reader.lowestWithin(plan.low, storedEnd, FRAMING_FACTOR * request.maxBytes)
  return { low: lowestOfPage(reader, { low, high: storedEnd }, request), high: plan.high }
}

function rangeSince(reader: SegmentReader, plan: ReadPlan, since: number, limit: number): Bounds {
  const found = reader.findTime(since)
  const before = found - 1
  const isInside = before >= plan.firstOffset && before < plan.stored.nextOffset
  // A time that was changed leads the search astray: then all records are looked at, in order.
  const isRight = !isInside || isBefore(reader, plan, before, since)
  const low = isRight ? found : reader.findTimeInOrder(since)
  return { low, high: Math.min(plan.high, low + limit) }
}

/** Whether the record is vouched for and older. @throws StoreError where it is not vouched for */
function isBefore(reader: SegmentReader, plan: ReadPlan, offset: number, since: number): boolean {
  const all = elements(reader, plan, offset, offset + 1)
  for (const { record } of vouch(reader, plan, all, offset, false).records()) {
    return record.timestamp < since
  }
  return true
}

/**
 * Where a page backward over stored records starts, going by their headers: what is before that
 * need not be expanded. What is lost is below it, or is where the page must fail.
 */
function lowestOfPage(
  reader: SegmentReader,
  { low, high }: Bounds,
  { limit, maxBytes }: ReadRequest,
): number {
  const window = new PageWindow<number>(limit, maxBytes)
  let start = low
  for (const element of reader.elements(low)) {
    if ('lost' in element && element.from < high && element.to > element.from) {
      window.clear()
      start = element.from
    }
    if (!('record' in element)) continue
    const { kind, offset, rawLength } = element.record
    if (offset >= high) break
    if (kind === RecordKind.Data) window.push(offset, rawLength)
    if (offset === high - 1 && kind === RecordKind.Data) break
  }
  return window.isFull ? (window.items()[0] ?? start) : start
}

function* concat<Item>(first: Iterable<Item>, second: Iterable<Item>): Generator<Item> {
  yield* first
  yield* second
}
