import {
  BLOCK_HEADER_BYTES,
  type BlockHeader,
  decodeBlockHeader,
} from '../../shared/format/block.ts'
import { decodeFrame, type Frame, FrameFlag, type Witness } from '../../shared/format/frame.ts'
import { GENESIS_HASH } from '../../shared/format/chain.ts'
import type { TrimPoint } from '../../shared/format/checkpoint.ts'
import { decodeOperation, type Operation, OperationType } from '../../shared/format/operation.ts'
import { cataloguePath, journalPath } from '../../shared/format/paths.ts'
import { decodeRecord } from '../../shared/format/record.ts'
import { isStreamIdOf } from '../../shared/format/stream-id.ts'
import { stateHashOf } from '../../shared/format/stream-state.ts'
import { PAGE_BYTES, SLOT_BYTES } from '../../shared/limits.ts'
import type { Disk } from '../disk/disk.ts'
import { listJournalFiles, readJournalHeader } from '../journal/journal-files.ts'
import {
  type Block,
  JournalDamage,
  JournalWalk,
  type WalkEnd,
  type WalkStart,
} from '../recovery/journal-walk.ts'
import type { CatalogueContent, LiveEntry } from '../streams/catalogue-file.ts'
import { claimOf } from '../streams/stream-binding.ts'
import { readConfig } from '../streams/stream-config.ts'
import { ChainCheck, type ChainOf, type Trust } from './chain-check.ts'
import type { Draft } from './draft.ts'
import { withWindow } from './file-window.ts'
import { FollowedStream } from './followed-stream.ts'
import { checkJournalFiles } from './journal-files-check.ts'
import type { ChainSource } from './signed-state.ts'
import type { StoredAppend } from './stored-appends.ts'
import { isJson } from './text.ts'

type Create = Extract<Operation, { type: typeof OperationType.Create }>
type Append = Extract<Operation, { type: typeof OperationType.Append }>
type Refer = Extract<Operation, { type: typeof OperationType.Reference }>
type Trim = Extract<Operation, { type: typeof OperationType.Trim }>

/** Bytes that frames lie in: of a block, or of a catalogue entry. */
type Source = Pick<Block, 'body' | 'file' | 'position'>

/** Stands for the catalogue where a journal file's number is expected. */
const IN_CATALOGUE = -1

/** A frame that is not decided yet. */
type Waiting = { readonly block: Source; readonly frame: Frame }

const GENESIS: TrimPoint = { offset: 0, hash: GENESIS_HASH }

/**
 * Checks what a shard's journal holds beyond its last write-back: blocks, frames,
 * operations, and that the records continue each stream's chain. Behind damage it goes on with the
 * next block that stands by itself.
 */
export class JournalCheck {
  readonly #disk: Disk
  readonly #shard: number
  readonly #draft: Draft
  readonly #streams = new Map<string, FollowedStream>()
  readonly #start: WalkStart
  readonly #live: readonly LiveEntry[]
  readonly #trust: Trust
  /** Transactions that wait for their decision, by id. */
  readonly #pending = new Map<number, Waiting>()
  /** Streams whose state the current frame has changed. */
  readonly #changed = new Set<FollowedStream>()
  /** Ids of streams that the journal deletes: their files may be gone already. */
  readonly deleted = new Set<string>()
  /** By stream id: appends that lie in segments, in order, for the stream's check. */
  readonly stored = new Map<string, StoredAppend[]>()
  /** What it says of other shards' journals. */
  readonly witnesses: Witness[]
  /** Where the last sound block ends; undefined where the journal cannot be walked. */
  endLsn: number | undefined
  /** Whether blocks are missing that may have created streams. */
  #hasGap = false

  constructor(
    disk: Disk,
    shard: number,
    { commit, live, witnesses }: CatalogueContent,
    trust: Trust,
    draft: Draft,
  ) {
    this.#disk = disk
    this.#shard = shard
    this.#draft = draft
    this.#trust = trust
    this.#start = { ...commit, lsn: commit.checkpointLsn }
    this.witnesses = [...witnesses]
    for (const { stream } of live) {
      const { name, streamId, nextOffset, chainHead } = stream
      const { state } = claimOf(stream)
      const hasUnwritten = stream.unwritten.length > 0
      const of = { ...stream, stateHash: hasUnwritten ? undefined : stateHashOf(state) }
      const source = hasUnwritten ? 'segments' : 'journal'
      const chain = this.#follow(of, { offset: nextOffset, hash: chainHead }, source)
      this.#streams.set(streamId, new FollowedStream(name, chain, state, false))
    }
    this.#live = live
  }

  /** @throws DiskError */
  run(): void {
    for (const entry of this.#live) this.#checkUnwritten(entry)
    if (!checkJournalFiles(this.#disk, this.#shard, this.#start.journalFile, this.#draft)) return
    let start: WalkStart | undefined = this.#start
    try {
      while (start !== undefined) start = this.#walk(start)
      this.#noteUndecided()
    } catch (error) {
      if (!(error instanceof JournalDamage)) throw error
      this.#draft.damage({ file: this.#pathOf(this.#start.journalFile), reason: error.message })
    }
  }

  /** Checks the frames that the catalogue keeps of a stream whose files could not be written. */
  #checkUnwritten({ stream, end }: LiveEntry): void {
    const body = Buffer.from(stream.unwritten)
    const position = end - stream.stateCheckpoint.length - body.length - BLOCK_HEADER_BYTES
    const source = { file: IN_CATALOGUE, position, body }
    for (let at = 0; at < body.length; ) {
      const frame = decodeFrame(body, at, body.length)
      if (frame?.flags !== FrameFlag.Committed) {
        return this.#damage(source, at, body.length, 'a frame does not check', {
          stream: stream.name,
        })
      }
      this.#draft.counts.journalFrames += 1
      this.#checkOperations(source, frame)
      at = frame.end
    }
    const chain = this.#streams.get(stream.streamId)?.chain
    if (body.length === 0 || chain === undefined) return
    const stateHash = stateHashOf(claimOf(stream).state)
    chain.expectState(stateHash, this.#place(source, 0, body.length))
    chain.state.beginJournal(stateHash)
  }

  /** Checks the blocks from `start` to where they end; where to go on, when that is damage. */
  #walk(start: WalkStart): WalkStart | undefined {
    const walk = new JournalWalk(this.#disk, this.#shard, start, SLOT_BYTES)
    for (const block of walk.blocks()) this.#checkBlock(block)
    const end = walk.end()
    this.endLsn = walk.endLsn
    const file = this.#pathOf(end.file.number)
    if (end.decision === 'cut') {
      const bytes = [end.position, end.position + end.cutBytes] as const
      const reason = 'an unfinished block, answered to nobody; the next start cuts it'
      this.#draft.note({ file, bytes, reason })
    }
    if (end.decision !== 'refuse') return undefined
    this.#hasGap = true
    for (const stream of this.#streams.values()) stream.skip()
    const next = this.#blockAfter(end)
    const isHere = next?.file === end.file.number
    const bytesEnd = isHere ? next.position : withWindow(this.#disk, file, it => it.size)
    const reason = `block ${end.blockNumber + 1} was durable and is not there`
    this.#draft.damage({ file, bytes: [end.position, bytesEnd], reason })
    return (
      next && {
        lsn: next.header.lsn,
        journalFile: next.file,
        blockNumber: next.header.number - 1,
        blockHash: next.header.previousHash,
      }
    )
  }

  /** The next sound block header behind the one that is not there. */
  #blockAfter(end: WalkEnd): { header: BlockHeader; file: number; position: number } | undefined {
    const numbers = listJournalFiles(this.#disk, this.#shard)
    for (const number of numbers.filter(candidate => candidate >= end.file.number)) {
      const { salt, epoch } = readJournalHeader(this.#disk, this.#shard, number) ?? {}
      const first = number === end.file.number ? end.position + PAGE_BYTES : PAGE_BYTES
      const found = withWindow(this.#disk, this.#pathOf(number), file => {
        for (let position = first; position < file.size; position += PAGE_BYTES) {
          const header = decodeBlockHeader(file.read(position, BLOCK_HEADER_BYTES), 0)
          const isOurs = header?.salt === salt && header?.epoch === epoch
          if (header !== undefined && isOurs && header.number > end.blockNumber + 1) {
            return { header, file: number, position }
          }
        }
        return undefined
      })
      if (found !== undefined) return found
    }
    return undefined
  }

  #checkBlock(block: Block): void {
    const { body } = block
    this.#draft.counts.journalBlocks += 1
    for (let at = 0; at < body.length; ) {
      const frame = decodeFrame(body, at, body.length)
      if (frame === undefined) return this.#damage(block, at, body.length, 'a frame does not check')
      this.#draft.counts.journalFrames += 1
      this.#checkFrame(block, frame)
      at = frame.end
    }
  }

  #checkFrame(block: Source, frame: Frame): void {
    if (frame.witness !== undefined) this.witnesses.push(frame.witness)
    const id = frame.transaction?.id ?? 0
    const isEmpty = frame.payloadAt === frame.end
    if (frame.flags === FrameFlag.Pending) return this.#keepPending(block, frame, id)
    if (id === 0 || !isEmpty) return this.#checkOperations(block, frame)
    const waiting = this.#pending.get(id)
    this.#pending.delete(id)
    // One that waits in other shards alone is decided here too, by its coordinator.
    if (waiting === undefined || frame.flags === FrameFlag.Aborted) return undefined
    return this.#checkOperations(waiting.block, waiting.frame)
  }

  /** What a pending frame does counts from where it is decided; its records come before that. */
  #keepPending(block: Source, frame: Frame, id: number): void {
    if (this.#pending.has(id)) {
      return this.#damage(block, frame.payloadAt, frame.end, 'a transaction is pending twice')
    }
    // The walk reads the next file over this one.
    const kept = Buffer.from(block.body.subarray(0, frame.end))
    this.#pending.set(id, { block: { ...block, body: kept }, frame })
  }

  #noteUndecided(): void {
    for (const { block, frame } of this.#pending.values()) {
      const { file, at, end } = this.#place(block, frame.payloadAt, frame.end)
      const coordinator = frame.transaction?.coordinator ?? 0
      const reason = `a transaction without its decision; the next start asks shard ${coordinator}`
      this.#draft.note({ file, bytes: [at, end], reason })
    }
  }

  #checkOperations(block: Source, frame: Frame): void {
    for (let at = frame.payloadAt; at < frame.end; ) {
      const operation = decodeOperation(block.body, at, frame.end)
      if (operation === undefined) {
        return this.#damage(block, at, frame.end, 'an operation makes no sense')
      }
      this.#checkOperation(block, operation, at)
      at = operation.end
    }
    for (const stream of this.#changed) {
      if (!stream.chain.state.isDue) continue
      const reason = 'no checkpoint signs this change of the stream'
      this.#damage(block, frame.payloadAt, frame.end, reason, { stream: stream.name })
      stream.skip()
    }
    this.#changed.clear()
  }

  #checkOperation(block: Source, operation: Operation, at: number): void {
    const { streamId } = operation
    const stream = this.#streams.get(streamId)
    const isKnown = stream !== undefined || operation.type === OperationType.Create
    if (!isKnown && !this.#hasGap) {
      return this.#damage(block, at, operation.end, 'an operation on an unknown stream')
    }
    if (stream?.apply(operation) === true) this.#changed.add(stream)
    switch (operation.type) {
      case OperationType.Create:
        this.#create(block, operation, at)
        return this.#checkConfig(block, operation.config, at, operation.end)
      case OperationType.Trim:
        return stream && this.#checkTrim(block, operation, stream, at)
      case OperationType.Configure:
        return this.#checkConfig(block, operation.config, at, operation.end)
      case OperationType.Append:
        return stream && this.#checkAppend(block, operation, stream)
      case OperationType.Reference:
        return stream && this.#checkReference(block, operation, stream, at)
      case OperationType.Delete:
        if (stream?.isNew === true) this.#draft.counts.streams -= 1
        this.#streams.delete(streamId)
        this.#trust.heads.forgetStream(stream?.name ?? '', streamId)
        this.deleted.add(streamId)
        return
      case OperationType.Close:
        return
    }
  }

  #checkConfig(block: Source, config: string, at: number, end: number): void {
    if (!isJson(config)) this.#damage(block, at, end, 'a configuration is not JSON')
  }

  #checkAppend(block: Source, append: Append, { name, chain }: FollowedStream): void {
    const { body } = block
    const end = append.firstOffset + append.count
    if (append.firstOffset !== chain.nextOffset) {
      const offsets = ordered(chain.nextOffset, append.firstOffset)
      const reason = `offset ${append.firstOffset} comes after ${chain.nextOffset}`
      this.#damage(block, append.recordsAt, append.end, reason, { stream: name, offsets })
      chain.lose(append.firstOffset)
    }
    for (let at = append.recordsAt; at < append.end; ) {
      const record = decodeRecord(body, at)
      if (record?.offset !== chain.nextOffset || record.end > append.end) {
        const offsets = [chain.nextOffset, Math.max(end, chain.nextOffset)] as const
        const reason = 'a record does not check'
        this.#damage(block, at, append.end, reason, { stream: name, offsets })
        return chain.lose(end)
      }
      chain.accept(this.#place(block, at, record.end), body, record)
      at = record.end
    }
    if (chain.nextOffset !== end) {
      const offsets = ordered(chain.nextOffset, end)
      const reason = 'an append does not have the records that it counts'
      this.#damage(block, append.recordsAt, append.end, reason, { stream: name, offsets })
      return chain.lose(end)
    }
    const place = this.#place(block, append.recordsAt, append.end)
    chain.expectHead(append.chainHead, place, 'its append names another hash for it')
  }

  /** Its records, and what is in front of them, are checked where they lie. */
  #checkReference(
    block: Source,
    operation: Refer,
    { name, chain }: FollowedStream,
    at: number,
  ): void {
    const { reference, streamId, end } = operation
    const { firstOffset, count, chainHead } = reference
    const isNext = firstOffset === chain.nextOffset
    const all = this.stored.get(streamId) ?? []
    const headBefore = isNext ? chain.head : undefined
    this.stored.set(streamId, [...all, { reference, headBefore, stateHash: chain.state.hash }])
    if (!isNext) {
      const offsets = ordered(chain.nextOffset, firstOffset)
      const reason = `offset ${firstOffset} comes after ${chain.nextOffset}`
      this.#damage(block, at, end, reason, { stream: name, offsets })
      chain.lose(firstOffset)
    }
    chain.pass(firstOffset + count, chainHead)
  }

  #checkTrim(
    block: Source,
    { before, end }: Trim,
    { name, chain }: FollowedStream,
    at: number,
  ): void {
    if (before <= chain.nextOffset) return
    const reason = `a trim to ${before}, past the end at ${chain.nextOffset}`
    this.#damage(block, at, end, reason, { stream: name })
  }

  #create(block: Source, operation: Create, at: number): void {
    const { name, streamId, createdAt, end } = operation
    const config = readConfig(operation.config)
    const state = { createdAt, config, closed: false, firstOffset: 0 }
    const stateHash = stateHashOf(state)
    if (!isStreamIdOf(streamId, stateHash, name)) {
      const reason = 'the id of the created stream was made for another name or another state'
      this.#damage(block, at, end, reason, { stream: name })
    }
    const chain = this.#follow({ name, streamId, trimPoint: GENESIS, stateHash }, GENESIS)
    this.#trust.heads.noteStream(name, streamId)
    this.#draft.counts.streams += 1
    this.#streams.set(streamId, new FollowedStream(name, chain, state, true))
  }

  #follow(of: ChainOf, start: TrimPoint, source: ChainSource = 'journal'): ChainCheck {
    return new ChainCheck(source, of, start, this.#trust, this.#draft)
  }

  #place(block: Source, at: number, end: number): { file: string; at: number; end: number } {
    const base = block.position + BLOCK_HEADER_BYTES
    return { file: this.#pathOf(block.file), at: base + at, end: base + end }
  }

  #damage(
    block: Source,
    at: number,
    end: number,
    reason: string,
    records: { stream?: string; offsets?: readonly [number, number] } = {},
  ): void {
    const place = this.#place(block, at, end)
    this.#draft.damage({ file: place.file, bytes: [place.at, place.end], reason, ...records })
  }

  #pathOf(number: number): string {
    if (number === IN_CATALOGUE) return cataloguePath(this.#shard)
    return journalPath(this.#shard, number)
  }
}

function ordered(left: number, right: number): readonly [number, number] {
  return left <= right ? [left, right] : [right, left]
}
