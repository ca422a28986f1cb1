import { StoreError } from '../../shared/errors.ts'
import { chainHashOf } from '../../shared/format/chain.ts'
import { decodeCheckpointBody, type TrimPoint } from '../../shared/format/checkpoint.ts'
import { CompressionCode } from '../../shared/format/compression.ts'
import { expandRecord } from '../../shared/format/expand.ts'
import { RecordKind, type RecordView } from '../../shared/format/record.ts'
import { checkpointFault } from './checkpoint-fault.ts'
import type { Draft } from './draft.ts'
import type { HeadWatch, KeptHeads } from './kept-heads.ts'
import { type ChainSource, SignedState } from './signed-state.ts'

/** Where a record lies. */
type Place = { readonly file: string; readonly at: number; readonly end: number }

/** Whose chain it is, and where the records begin that are kept. */
export type ChainOf = {
  readonly name: string
  /** latin1 */
  readonly streamId: string
  readonly trimPoint: TrimPoint
  /** latin1: of the state where the chain begins; undefined if unknown */
  readonly stateHash: string | undefined
}

/** What records are held against that is not in them. */
export type Trust = {
  /** Raw public keys by id, all latin1. */
  readonly keys: ReadonlyMap<string, string>
  readonly heads: KeptHeads
}

/**
 * The chain of one stream as it is followed through segments and journal. A record whose checksum
 * was repaired after a change is told by the next one, which names the hash that it had; a chain
 * that was made anew from there on is told by the signature of the next checkpoint.
 */
export class ChainCheck {
  readonly #of: ChainOf
  readonly #trust: Trust
  readonly #watch: HeadWatch | undefined
  #draft: Draft
  #last: Place | undefined
  /** Records in `#last`: one, or none when it is a checkpoint. */
  #lastRecords = 1
  /** Records and their bytes, as they were counted. */
  #counted: readonly [records: number, bytes: number] = [0, 0]
  #checkpoints = 0
  /** The offset that comes next. */
  nextOffset: number
  /** Chain hash before it, latin1; undefined after records that could not be read. */
  head: string | undefined
  /** Hash of the last data record that was met, latin1; undefined where none can be vouched for. */
  recordHash: string | undefined
  /** Offset of the last checkpoint that was met. */
  lastCheckpoint: number | undefined
  /** Whether records could not be read. */
  isInterrupted = false
  /** Whether the last record was the checkpoint that ends its segment. */
  isSegmentEnd = false
  /** The state that the checkpoints sign. */
  readonly state: SignedState

  /** @param start where the chain is taken up */
  constructor(source: ChainSource, of: ChainOf, start: TrimPoint, trust: Trust, draft: Draft) {
    this.#of = of
    this.#trust = trust
    this.#watch = trust.heads.watch(of.streamId)
    this.#draft = draft
    this.state = new SignedState(source, of.stateHash)
    this.nextOffset = start.offset
    this.head = start.hash
    this.#watch?.pass(start.offset, start.hash)
  }

  /** Takes the next record, `record` of `bytes`; its place is where it lies in its file. */
  accept(place: Place, bytes: Buffer, record: RecordView): void {
    const isCheckpoint = record.kind === RecordKind.Checkpoint
    const what = `${isCheckpoint ? 'the checkpoint before record' : 'record'} ${record.offset}`
    this.expectHead(record.previousHash, place, `${what} does not link to it`)
    this.isSegmentEnd = false
    if (isCheckpoint) this.lastCheckpoint = record.offset
    if (isCheckpoint) this.#checkCheckpoint(place, bytes, record, what)
    else if (this.state.isClosed) {
      this.#damage(place, `${what} follows the checkpoint that closed the stream`)
    }
    this.head = this.#hashOf(place, bytes, record)
    if (!isCheckpoint) this.recordHash = this.head
    this.nextOffset = record.offset + (isCheckpoint ? 0 : 1)
    this.#last = place
    this.#lastRecords = isCheckpoint ? 0 : 1
    this.#count(this.#lastRecords, place.end - place.at)
    if (this.head !== undefined) this.#watch?.pass(this.nextOffset, this.head)
  }

  #count(records: number, bytes: number): void {
    this.#counted = [this.#counted[0] + records, this.#counted[1] + bytes]
    this.#draft.counts.records += records
    this.#draft.counts.recordBytes += bytes
  }

  /** Goes on at `offset`, behind records that are checked, and all counted, where they lie. */
  pass(offset: number, head: string): void {
    const [records, bytes] = this.#counted
    this.#count(-records, -bytes)
    this.#draft.counts.checkpoints -= this.#checkpoints
    this.#checkpoints = 0
    this.nextOffset = offset
    this.head = head
    this.recordHash = undefined
    this.#last = undefined
    this.#watch?.pass(offset, head)
  }

  /** Goes on at `offset`, behind records that could not be read; named by the caller. */
  lose(offset: number): void {
    this.#watch?.lose(this.nextOffset, offset)
    this.nextOffset = offset
    this.head = undefined
    this.recordHash = undefined
    this.#last = undefined
    this.isSegmentEnd = false
    this.isInterrupted = true
    this.state.lose()
  }

  /** Compares the last signed state with `expected`, if both are known. */
  expectState(expected: string | undefined, { file, at, end }: Place): void {
    const { hash } = this.state
    if (hash === undefined || expected === undefined || hash === expected) return
    const reason =
      'the last checkpoint signs another configuration, closed, first offset or creation time'
    this.#damage({ file, at, end }, reason)
  }

  /**
   * Holds the hash of the last record against what something else says of it.
   * @param other the place to name when there is no last record in hand
   */
  expectHead(expected: string, other: Place, reason: string): void {
    if (this.head === undefined || this.head === expected) return
    const place = this.#last ?? other
    const offset = this.#last === undefined ? this.nextOffset : this.nextOffset - this.#lastRecords
    const offsets = [offset, offset + (this.#last === undefined ? 1 : this.#lastRecords)] as const
    this.#damage(place, `not as it was written: ${reason}`, offsets)
  }

  #checkCheckpoint(place: Place, bytes: Buffer, record: RecordView, what: string): void {
    const { streamId, trimPoint } = this.#of
    const fault = checkpointFault(bytes, record, streamId, trimPoint, this.#trust.keys)
    const body = decodeCheckpointBody(bytes, record)
    this.isSegmentEnd = body?.isLastOfSegment === true
    // No record is damaged by it, but a repair has to be able to say where it was.
    const between = [record.offset, record.offset] as const
    if (fault !== undefined) return this.#damage(place, `${what} ${fault}`, between)
    this.#draft.counts.checkpoints += 1
    this.#checkpoints += 1
    if (body === undefined) return
    this.#watch?.sign(record.offset, body.signature)
    const stateFault = this.state.accept(body)
    if (stateFault !== undefined) this.#damage(place, `${what} ${stateFault}`)
  }

  #hashOf(place: Place, bytes: Buffer, record: RecordView): string | undefined {
    const { streamId } = this.#of
    if (record.compression === 0) return chainHashOf(streamId, bytes, record)
    const offsets = [record.offset, record.offset + 1] as const
    try {
      const expanded = expandRecord({ bytes, record })
      return chainHashOf(streamId, expanded.bytes, expanded.record)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      if (error.code === 'codec_unavailable') this.#noteUnchecked(place, record)
      else if (error.code === 'corrupt_record') this.#damage(place, error.message, offsets)
      else throw error
      return undefined
    }
  }

  /** The chain is taken up again by what the next record says was before it. */
  #noteUnchecked({ file, at, end }: Place, { offset, compression }: RecordView): void {
    const codec = compression === CompressionCode.Zstd ? 'this Node has no zstd' : 'LZ4 is missing'
    const reason = `it cannot be checked here: ${codec}`
    this.#draft.note({
      file,
      stream: this.#of.name,
      offsets: [offset, offset + 1],
      bytes: [at, end],
      reason,
    })
  }

  #damage({ file, at, end }: Place, reason: string, offsets?: readonly [number, number]): void {
    const finding = { file, stream: this.#of.name, bytes: [at, end] as const, reason }
    this.#draft.damage(offsets === undefined ? finding : { ...finding, offsets })
  }
}
