import { StoreError } from '../errors.ts'
import { chainHashOf } from './chain.ts'
import { expandRecord } from './expand.ts'
import type { LinkedRecord, LocatedRecord } from './read-page.ts'
import { RECORD_LAYOUT, RecordKind, viewRecord } from './record.ts'

// Checks each record by the element after it, and finds out which one was changed.
//
// Invariants:
// - a record is passed on only when the previous hash of the element after it, or the chain head,
//   equals its hash; its own checksum is never enough
// - such a claim that matches is a proof, wherever it is stored; if it does not match, the next
//   link decides which of the two elements was changed
// - nothing before the first record is needed, so a walk may start right after damage

/** A range of records, or a checkpoint, that cannot be read. */
export type LostRecords = {
  readonly lost: true
  readonly from: number
  /** Equal to `from` where a checkpoint before record `from` is lost, and no record. */
  readonly to: number
  readonly reason: string
  /** Bytes that could be read; the first lost element begins at `at`. */
  readonly bytes: Buffer
  readonly at: number
  /** The failure to report if the records are not damaged, but cannot be expanded here. */
  readonly error?: StoreError
}

/** The previous hash in the header of the next element, read without its body. */
export type Claim = { readonly claim: string }

/** One element of a chain, in order. */
export type ChainElement = LocatedRecord | Claim | LostRecords

export type VouchingOptions = {
  /** latin1 */
  readonly streamId: string
  /** Chain hash (latin1) behind the last element, and the offset there. */
  readonly end: { readonly hash: string; readonly offset: number }
  /** Whether every link must hold, up to where the walk is ended. */
  readonly isStrict: boolean
  /** Returns the chain hash before the first element, where that is known. */
  readonly hashBefore: () => string | undefined
}

const [PREVIOUS_HASH_AT, HASH_BYTES] = RECORD_LAYOUT.previousHash
/** Matching bytes of a damaged claim that identify a hash; nobody can forge 16 bytes of it. */
const RECOGNISED_BYTES_MIN = 16
/** Zeros at the end of a claim that mean that it was not read to its end. */
const UNREAD_BYTES_MIN = 8
/** Most bytes of records searched for the end of a damaged range. */
const SEARCH_BYTES_MAX = 16 * 1024 * 1024

type Found = LinkedRecord | LostRecords

/** `follower damaged`: the record is vouched for, but what follows it is not. */
type Verdict = 'vouched' | 'unvouched' | 'damaged' | 'follower damaged'

/** One walk along a chain. */
export class Vouching {
  readonly #options: VouchingOptions
  readonly #elements: Iterator<ChainElement>
  readonly #ahead: Found[] = []
  /** Whether the record being judged links to the one before it. */
  #isLinked: boolean | undefined
  /** Offset of the last record, if it was passed on although everything after it is lost. */
  unvouched: number | undefined
  /** The last checkpoint met that links to what lies before it. */
  checkpoint: LinkedRecord | undefined

  constructor(elements: Iterable<ChainElement>, options: VouchingOptions) {
    this.#elements = elements[Symbol.iterator]()
    this.#options = options
  }

  /**
   * Yields the elements that are vouched for, in order, with their hashes.
   * @throws StoreError corrupt_record with the range that is not vouched for
   */
  *records(): Generator<LinkedRecord> {
    try {
      yield* this.#walk()
    } finally {
      this.#elements.return?.()
    }
  }

  *#walk(): Generator<LinkedRecord> {
    let last: LinkedRecord | undefined
    for (let current = this.#take(); current !== undefined; current = this.#take()) {
      if ('claim' in current) {
        if (current.claim !== last?.hash) continue // the whole element after it decides
        yield last
        last = undefined
        continue
      }
      const verdict = last === undefined ? 'vouched' : this.#judge(last, current)
      if (verdict === 'damaged') throw this.#damage(last as LinkedRecord, current)
      this.#note(current, verdict)
      if (last !== undefined) yield last
      if (verdict !== 'vouched') throw this.#damage(current)
      if (!('lost' in current)) last = current
      else if (this.#mayPass(current)) last = undefined
      else throw this.#damage(current)
    }
    if (last === undefined) return
    if (last.hash !== this.#options.end.hash) throw this.#damage(last)
    yield last
  }

  #note(current: Found, verdict: Verdict): void {
    const isRecord = verdict === 'vouched' && 'hash' in current
    if (isRecord && current.record.kind === RecordKind.Checkpoint) this.checkpoint = current
  }

  /** Whether the walk may skip a lost checkpoint, which costs no record. */
  #mayPass({ from, to }: LostRecords): boolean {
    this.#isLinked = false
    return from === to && !this.#options.isStrict
  }

  #judge(last: LinkedRecord, current: Found): Verdict {
    if ('hash' in current) {
      if (current.record.previousHash !== last.hash) return this.#settle(last, current)
      this.#isLinked = true
      return 'vouched'
    }
    if (recognises(current, last.hash) || this.#fits(last, current)) return 'vouched'
    if (isLegible(current)) return 'damaged'
    const isLinked = this.#isLinked ?? last.record.previousHash === this.#options.hashBefore()
    if (!isLinked && !this.#options.isStrict) return 'damaged'
    this.unvouched = last.record.offset
    return 'unvouched'
  }

  /** Judges two whole elements that do not link: one or both were changed. */
  #settle(last: LinkedRecord, current: LinkedRecord): Verdict {
    const follower = this.#peek()
    if (this.#claims(follower, current.hash)) return 'damaged'
    const relinked = this.#relinked(last, current)
    const isKept = this.#claims(follower, relinked) || this.#claims(follower, last.hash)
    return isKept ? 'follower damaged' : 'damaged'
  }

  /** Whether a lost record, if linked to `last`, has the hash that the element after it claims. */
  #fits(last: LinkedRecord, { bytes, at, from }: LostRecords): boolean {
    const record = viewRecord(bytes, at)
    if (record === undefined || record.offset !== from || record.end > bytes.length) return false
    const found = this.#open({ bytes, record })
    return 'hash' in found && this.#claims(this.#peek(), this.#relinked(last, found))
  }

  #relinked({ hash: previousHash }: LinkedRecord, { bytes, record }: LinkedRecord): string {
    return chainHashOf(this.#options.streamId, bytes, { ...record, previousHash })
  }

  #claims(follower: Found | undefined, hash: string): boolean {
    if (follower === undefined) return this.#options.end.hash === hash
    return 'hash' in follower ? follower.record.previousHash === hash : recognises(follower, hash)
  }

  /** Returns the failure for damage from `first` on. @param second the next element, if taken */
  #damage(first: Found, second?: Found): StoreError {
    const { end, isStrict } = this.#options
    const [from, least] = rangeOf(first)
    const to = Math.max(least, this.#nextReadable(second))
    if ('error' in first && first.error !== undefined) return first.error
    const isChanged = 'hash' in first
    const isCheckpoint = isChanged ? first.record.kind === RecordKind.Checkpoint : from === least
    if (isCheckpoint && isStrict) {
      const named = Math.max(0, Math.min(from, end.offset - 1))
      return corrupt(named, Math.max(to, named + 1), 'the checkpoint before it does not check')
    }
    if (isCheckpoint && to === from) {
      return corrupt(from, to, `the checkpoint before record ${from} does not check`)
    }
    return corrupt(from, to, isChanged ? 'what follows does not link to it' : first.reason)
  }

  /** Returns the offset of the next record that is vouched for. */
  #nextReadable(second: Found | undefined): number {
    let to = 0
    let candidate: LinkedRecord | undefined
    let bytes = 0
    for (let next = second ?? this.#pull(); next !== undefined; next = this.#pull()) {
      if (candidate !== undefined && this.#claims(next, candidate.hash)) return to
      candidate = undefined
      if ('hash' in next) {
        const { kind, offset, at, end } = next.record
        to = offset
        if (kind === RecordKind.Data) candidate = next
        bytes += end - at
        if (bytes > SEARCH_BYTES_MAX) return to
      } else to = next.to
    }
    const { end } = this.#options
    return candidate?.hash === end.hash ? to : Math.max(to, candidate ? end.offset : 0)
  }

  #take(): Found | Claim | undefined {
    const known = this.#ahead.shift()
    if (known !== undefined) return known
    const next = this.#elements.next()
    if (next.done === true) return undefined
    return 'record' in next.value ? this.#open(next.value) : next.value
  }

  /** Takes the next element that is not a claim alone. */
  #pull(): Found | undefined {
    let next = this.#take()
    while (next !== undefined && 'claim' in next) next = this.#take()
    return next
  }

  #peek(): Found | undefined {
    if (this.#ahead.length > 0) return this.#ahead[0]
    const next = this.#pull()
    if (next !== undefined) this.#ahead.push(next)
    return next
  }

  /** Returns the element with its own hash, or as lost if its body cannot be expanded. */
  #open(located: LocatedRecord): Found {
    try {
      const { bytes, record } = expandRecord(located)
      return { bytes, record, hash: chainHashOf(this.#options.streamId, bytes, record) }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      const { offset: from, at } = located.record
      const reason = error.message
      const lost = { lost: true, from, to: from + 1, reason, bytes: located.bytes, at } as const
      return error.code === 'corrupt_record' ? lost : { ...lost, error }
    }
  }
}

/** Returns the failure that names the offsets `[from, to)`. */
export function corrupt(from: number, to: number, reason: string): StoreError {
  const last = to - 1
  const what =
    to <= from
      ? `nothing before record ${from} is lost`
      : to - from === 1
        ? `record ${from} cannot be read`
        : `records ${from} to ${last} cannot be read`
  return new StoreError('corrupt_record', `${what}: ${reason}`, {
    firstCorruptOffset: from,
    nextReadableOffset: to,
  })
}

function rangeOf(found: Found): [from: number, to: number] {
  if (!('hash' in found)) return [found.from, found.to]
  const { offset, kind } = found.record
  return [offset, kind === RecordKind.Data ? offset + 1 : offset]
}

/** Whether the readable bytes of a lost record's claim match enough of `hash`. */
function recognises({ bytes, at }: LostRecords, hash: string): boolean {
  const start = at + PREVIOUS_HASH_AT
  let same = 0
  for (let index = 0; index < HASH_BYTES; index += 1) {
    if (bytes[start + index] === hash.charCodeAt(index)) same += 1
  }
  return same >= RECOGNISED_BYTES_MIN
}

/** Whether the header of a lost record is readable, so that its claim counts. */
function isLegible({ bytes, at, from }: LostRecords): boolean {
  const record = viewRecord(bytes, at)
  if (record?.offset !== from) return false
  return !record.previousHash.endsWith('\0'.repeat(UNREAD_BYTES_MIN))
}
