import { StoreError } from '../../shared/errors.ts'
import { latin1ToHex } from '../../shared/format/bytes.ts'
import { GENESIS_HASH } from '../../shared/format/chain.ts'
import {
  checkHead,
  checkLinks,
  type LinkedRecord,
  type LocatedRecord,
  type PageSelection,
  selectPage,
  tailRecords,
} from '../../shared/format/read-page.ts'
import type { ReadPlan } from '../../shared/protocol/shard.ts'
import type { ReadRequest, VerifyReport } from '../../shared/protocol/streams.ts'
import type { Disk } from '../disk/disk.ts'
import { SegmentReader } from './segment-reader.ts'

// Joins what segments hold with the tail that the shard sent along, verifies what was asked for,
// and chooses the page.

/** Framing that bodies may come with, allowed for when a backward read looks for its start. */
const FRAMING_FACTOR = 2

export type StreamRead = {
  readonly selection: PageSelection
  readonly staleIndex: SegmentReader['staleIndex']
}

/** @throws StoreError corrupt_record */
export function readStream(disk: Disk, plan: ReadPlan, request: ReadRequest): StreamRead {
  const reader = new SegmentReader(disk, plan)
  const { low, high } = range(reader, plan, request)
  const records =
    request.verify === 'genesis'
      ? linked(reader, plan, plan.firstOffset, high, GENESIS_HASH)
      : request.verify === 'links' && low < high
        ? linked(reader, plan, low, high, previousHash(reader, plan, low))
        : located(reader, plan, low, high)
  return { selection: selectPage(records, low, high, request), staleIndex: reader.staleIndex }
}

/** Checks the chain from the first record to `to`; the records of `[from, to)` are counted. */
export function verifyStream(disk: Disk, plan: ReadPlan, from: number, to: number): VerifyReport {
  const reader = new SegmentReader(disk, plan)
  let verifiedRecords = 0
  let chainHead = GENESIS_HASH
  let failure: VerifyReport['failure'] = null
  try {
    for (const { record, hash } of linked(reader, plan, plan.firstOffset, to, GENESIS_HASH)) {
      if (record.offset >= from) verifiedRecords += 1
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
    anchor: 'genesis',
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
  return { low: reader.lowestWithin(plan.low, storedEnd, bytes), high: plan.high }
}

function previousHash(reader: SegmentReader, plan: ReadPlan, low: number): string {
  const isInTail = plan.tail !== null && low >= plan.tail.firstOffset
  return isInTail ? (plan.tail?.previousHash ?? GENESIS_HASH) : reader.previousHash(low)
}

/** Records of the plan from `low`, or from the start of the tail's append that holds it. */
function* located(
  reader: SegmentReader,
  plan: ReadPlan,
  low: number,
  high: number,
): Generator<LocatedRecord> {
  const storedEnd = Math.min(high, plan.stored.nextOffset)
  if (low < storedEnd) yield* reader.records(low, storedEnd)
  if (high > storedEnd) yield* tailRecords(plan)
}

/**
 * The same, each record linked to the one before, and the last one to the chain head known for it.
 */
function* linked(
  reader: SegmentReader,
  plan: ReadPlan,
  low: number,
  high: number,
  before: string,
): Generator<LinkedRecord> {
  for (const record of checkLinks(located(reader, plan, low, high), plan.streamId, before)) {
    const next = record.record.offset + 1
    if (next > high) return
    if (next === plan.stored.nextOffset) checkHead(record.hash, plan.stored.chainHead, next - 1)
    if (next === plan.nextOffset) checkHead(record.hash, plan.chainHead, next - 1)
    yield record
  }
}
