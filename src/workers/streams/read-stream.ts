import { StoreError } from '../../shared/errors.ts'
import { latin1ToHex } from '../../shared/format/bytes.ts'
import {
  checkHead,
  checkLinks,
  dataRecords,
  type LinkedRecord,
  type LocatedRecord,
  lowestOfPage,
  type PageSelection,
  selectPage,
  tailRecords,
} from '../../shared/format/read-page.ts'
import { RecordKind } from '../../shared/format/record.ts'
import type { ReadPlan } from '../../shared/protocol/shard.ts'
import type { ReadRequest, VerifyReport } from '../../shared/protocol/streams.ts'
import type { Disk } from '../disk/disk.ts'
import { CheckpointCheck } from './checkpoint-check.ts'
import { listPublicKeys } from './key-files.ts'
import { SegmentReader } from './segment-reader.ts'

// Joins what segments hold with the tail that the shard sent along, verifies what was asked for,
// and chooses the page.

/** Framing that bodies may come with, allowed for when a backward read looks for its start. */
const FRAMING_FACTOR = 2

export type StreamRead = {
  readonly selection: PageSelection
  readonly staleIndex: SegmentReader['staleIndex']
}

/** Where a chain is checked from, and what lies from there on, in order. */
type Anchor = {
  readonly kind: VerifyReport['anchor']
  /** Chain hash before the first record. */
  readonly before: string
  readonly stored: Iterable<LocatedRecord>
  readonly tail: Iterable<LocatedRecord>
}

const NOTHING: readonly LocatedRecord[] = []

/** @throws StoreError corrupt_record */
export function readStream(disk: Disk, plan: ReadPlan, request: ReadRequest): StreamRead {
  const reader = new SegmentReader(disk, plan)
  const { low, high } = range(reader, plan, request)
  const records = chosen(disk, reader, plan, low, high, request)
  const selection = selectPage(dataRecords(records), low, high, request, plan.firstOffset)
  return { selection, staleIndex: reader.staleIndex }
}

function chosen(
  disk: Disk,
  reader: SegmentReader,
  plan: ReadPlan,
  low: number,
  high: number,
  { verify }: ReadRequest,
): Iterable<LocatedRecord> {
  switch (verify) {
    case 'none': {
      const storedEnd = Math.min(high, plan.stored.nextOffset)
      const tail = needsTail(plan, high) ? tailRecords(plan) : NOTHING
      return concat(reader.dataRecords(low, storedEnd), tail)
    }
    case 'links':
      return low < high ? linked(plan, high, fromRecord(reader, plan, low, high)) : NOTHING
    case 'checkpoint':
      return signed(disk, plan, high, fromCheckpoint(reader, plan, low, high))
    case 'genesis':
      return signed(disk, plan, high, fromFirst(reader, plan, high))
  }
}

/**
 * Checks the chain up to `to`, from the nearest checkpoint at or below `from`; the records of
 * `[from, to)` are counted.
 */
export function verifyStream(disk: Disk, plan: ReadPlan, from: number, to: number): VerifyReport {
  const reader = new SegmentReader(disk, plan)
  const isInside = from > plan.firstOffset
  const anchor = isInside ? fromCheckpoint(reader, plan, from, to) : fromFirst(reader, plan, to)
  let verifiedRecords = 0
  let chainHead = anchor.before
  let failure: VerifyReport['failure'] = null
  try {
    for (const { record, hash } of signed(disk, plan, to, anchor)) {
      if (record.kind === RecordKind.Data && record.offset >= from) verifiedRecords += 1
      chainHead = hash
    }
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'corrupt_record') throw error
    failure = { offset: Number(error.fields.firstCorruptOffset), reason: error.message }
  }
  return {
    ok: failure === null,
    verifiedRecords,
    from,
    to,
    chainHead: latin1ToHex(chainHead),
    anchor: anchor.kind,
    failure,
  }
}

function range(
  reader: SegmentReader,
  plan: ReadPlan,
  request: ReadRequest,
): { low: number; high: number } {
  if (plan.since !== undefined) {
    const low = reader.findTime(plan.since)
    return { low, high: Math.min(plan.high, low + request.limit) }
  }
  if (request.direction === 'forward') return plan
  // A tail cut short because it alone fills the page leaves the segments out of a backward read.
  const storedEnd = Math.min(plan.high, plan.stored.nextOffset)
  const tailStart = plan.tail?.firstOffset ?? plan.high
  if (tailStart > Math.max(plan.low, storedEnd)) return { low: tailStart, high: plan.high }
  if (plan.low >= storedEnd) return plan
  const bytes = FRAMING_FACTOR * request.maxBytes
  const low = reader.lowestWithin(plan.low, storedEnd, bytes)
  // Few stored bytes may expand to any number, so the page's start is looked for before they are.
  const start = lowestOfPage(reader.dataRecords(low, storedEnd), request)
  return { low: Math.max(low, start ?? low), high: plan.high }
}

/** From the first record that is kept. */
function fromFirst(reader: SegmentReader, plan: ReadPlan, high: number): Anchor {
  const { offset, hash } = plan.trimPoint
  const kind = offset === 0 ? 'genesis' : 'trim'
  // Checkpoints may be all that is stored.
  const stored = reader.records(offset, Math.min(high, plan.stored.nextOffset))
  return { kind, before: hash, stored, tail: needsTail(plan, high) ? tailRecords(plan) : NOTHING }
}

/** From record `low`, or from the start of the tail's append that holds it. */
function fromRecord(reader: SegmentReader, plan: ReadPlan, low: number, high: number): Anchor {
  const { tail, stored } = plan
  const isInTail = tail !== null && low >= stored.nextOffset
  const before = isInTail ? tail.previousHash : reader.previousHash(low)
  return { kind: 'genesis', before, ...located(reader, plan, low, high) }
}

/** From the nearest checkpoint at or below `low`; from the first record where there is none. */
function fromCheckpoint(reader: SegmentReader, plan: ReadPlan, low: number, high: number): Anchor {
  const tail = [...tailRecords(plan)]
  const at = tail.findLastIndex(
    ({ record }) => record.kind === RecordKind.Checkpoint && record.offset <= low,
  )
  const inTail = tail[at]
  if (inTail !== undefined) {
    const before = inTail.record.previousHash
    return { kind: 'checkpoint', before, stored: NOTHING, tail: tail.slice(at) }
  }
  const place = reader.checkpointAtOrBelow(Math.min(low, plan.stored.nextOffset))
  if (place === undefined) return fromFirst(reader, plan, high)
  const before = reader.checkpointAt(place).record.previousHash
  const stored = reader.recordsFrom(place, Math.min(high, plan.stored.nextOffset))
  return { kind: 'checkpoint', before, stored, tail: needsTail(plan, high) ? tail : NOTHING }
}

function located(
  reader: SegmentReader,
  plan: ReadPlan,
  low: number,
  high: number,
): Pick<Anchor, 'stored' | 'tail'> {
  const storedEnd = Math.min(high, plan.stored.nextOffset)
  return {
    stored: low < storedEnd ? reader.records(low, storedEnd) : NOTHING,
    tail: needsTail(plan, high) ? tailRecords(plan) : NOTHING,
  }
}

function needsTail(plan: ReadPlan, high: number): boolean {
  return high > plan.stored.nextOffset || high === plan.nextOffset
}

function* concat(
  stored: Iterable<LocatedRecord>,
  tail: Iterable<LocatedRecord>,
): Generator<LocatedRecord> {
  yield* stored
  yield* tail
}

/** The same as `linked`, each checkpoint's signature checked too. */
function* signed(
  disk: Disk,
  plan: ReadPlan,
  high: number,
  anchor: Anchor,
): Generator<LinkedRecord> {
  const check = new CheckpointCheck(plan.streamId, listPublicKeys(disk, undefined).keys)
  for (const linkedRecord of linked(plan, high, anchor)) {
    if (linkedRecord.record.kind === RecordKind.Checkpoint) check.check(linkedRecord)
    yield linkedRecord
  }
}

/**
 * The anchor's records below `high`, each linked to the one before, and what they come to, to the
 * chain heads that the shard knows for the end of the segments and of the tail.
 */
function* linked(plan: ReadPlan, high: number, anchor: Anchor): Generator<LinkedRecord> {
  const { stored, tail } = plan
  let last: LinkedRecord | undefined
  for (const record of checkLinks(anchor.stored, plan.streamId, anchor.before)) {
    last = record
    yield record
  }
  const isWhole = high >= stored.nextOffset
  if (last !== undefined && isWhole) checkHead(last.hash, stored.chainHead, lastOffset(last))
  const before = last?.hash ?? anchor.before
  for (const record of checkLinks(anchor.tail, plan.streamId, before)) {
    if (record.record.offset >= high && high < plan.nextOffset) return
    last = record
    yield record
  }
  if (last !== undefined && tail !== null && needsTail(plan, high)) {
    checkHead(last.hash, tail.chainHead, lastOffset(last))
  }
}

/** Offset of the data record that a record is, or lies behind. */
function lastOffset({ record }: LinkedRecord): number {
  return record.kind === RecordKind.Data ? record.offset : Math.max(0, record.offset - 1)
}
