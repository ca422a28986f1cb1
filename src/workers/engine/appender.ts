import { assert } from '../../shared/assert.ts'
import { latin1ToHex, viewOf } from '../../shared/format/bytes.ts'
import { BATCH_ITEM_HEADER_BYTES, decodeBatchItem } from '../../shared/format/batch.ts'
import { chainHashInPlace } from '../../shared/format/chain.ts'
import { FRAME_HEADER_BYTES, FrameFlag, sealFrame } from '../../shared/format/frame.ts'
import {
  APPEND_PREFIX_BYTES,
  createBytes,
  encodeAppendPrefix,
  encodeChange,
  encodeCreate,
  OPERATION_HEADER_BYTES,
  OperationType,
} from '../../shared/format/operation.ts'
import { encodeRecord, RECORD_OVERHEAD_BYTES } from '../../shared/format/record.ts'
import { StoreError } from '../../shared/errors.ts'
import type { Mutation, MutationValue, ShardOptions } from '../../shared/protocol/shard.ts'
import type { StreamConfig } from '../../shared/protocol/streams.ts'
import type { Environment } from '../environment.ts'
import type { LogBuffer } from '../journal/log-buffer.ts'
import { StreamLog, type TailFrame } from '../streams/stream-log.ts'
import { existing, type StreamTable } from '../streams/stream-table.ts'
import type { TailArena } from '../streams/tail-arena.ts'

/** What becomes visible once the frame that ends at `endLsn` is durable. */
export type Commit = { readonly endLsn: number } & (
  | {
      readonly kind: 'append'
      readonly log: StreamLog
      readonly frame: TailFrame
      readonly creates: boolean
    }
  | { readonly kind: 'create' | 'close' | 'delete'; readonly log: StreamLog }
  | { readonly kind: 'configure'; readonly log: StreamLog; readonly config: StreamConfig }
  | { readonly kind: 'barrier' }
)

/** A mutation that became a frame. `commit` is null when there was nothing to write. */
export type Accepted = {
  readonly commit: Commit | null
  readonly value: MutationValue
  readonly durability: StreamConfig['durability']
}

type Append = Extract<Mutation, { kind: 'append' }>

/**
 * Turns mutations into frames: checks what they ask against the assigned state, gives out offsets,
 * times and chain hashes, and encodes into the log buffer. A batch is one frame, so all of its
 * records are there after a crash, or none.
 */
export class Appender {
  readonly #table: StreamTable
  readonly #buffer: LogBuffer
  readonly #arena: TailArena
  readonly #environment: Environment
  readonly #options: ShardOptions

  constructor(
    table: StreamTable,
    buffer: LogBuffer,
    arena: TailArena,
    environment: Environment,
    options: ShardOptions,
  ) {
    this.#table = table
    this.#buffer = buffer
    this.#arena = arena
    this.#environment = environment
    this.#options = options
  }

  /**
   * Undefined when there is no room now: nothing has changed, call again after the next flush.
   * @throws StoreError as api.md has it; nothing has changed then either
   */
  accept(mutation: Mutation, bytes: Buffer): Accepted | undefined {
    switch (mutation.kind) {
      case 'append':
        return this.#append(mutation, bytes)
      case 'create':
        return this.#create(mutation.stream, mutation.config)
      case 'configure':
        return this.#configure(mutation.stream, mutation.change)
      case 'close':
        return this.#close(mutation.stream)
      case 'delete':
        return this.#delete(mutation.stream)
      case 'barrier':
        return this.#barrier()
    }
  }

  #append(append: Append, bytes: Buffer): Accepted | undefined {
    const found = this.#table.assigned(append.stream)
    if (found?.state === 'closed') throw streamClosed(found)
    const expected = append.expectedOffset
    if (found === undefined) this.#checkMayCreate(this.#options.autoCreate)
    const nextOffset = found?.nextOffset ?? 0
    if (expected !== undefined && expected !== nextOffset) {
      throw new StoreError('offset_mismatch', `the next offset is ${nextOffset}`, { nextOffset })
    }
    const log = found ?? this.#newStream(append.stream, this.#options.defaultConfig)
    const config = JSON.stringify(log.config)
    const createLength = found === undefined ? createBytes(log.name, config) : 0
    const recordsLength =
      append.length + append.count * (RECORD_OVERHEAD_BYTES - BATCH_ITEM_HEADER_BYTES)
    const frameLength = FRAME_HEADER_BYTES + createLength + APPEND_PREFIX_BYTES + recordsLength
    const room = this.#buffer.reserve(frameLength)
    if (room === undefined) return undefined
    const timestamp = Math.max(this.#environment.nowMicros(), log.lastTimestamp)
    const { block, at } = room
    const prefixAt = at + FRAME_HEADER_BYTES + createLength
    const recordsAt = prefixAt + APPEND_PREFIX_BYTES
    if (found === undefined) {
      const fields = { createdAt: log.createdAt, name: log.name, config }
      encodeCreate(block, at + FRAME_HEADER_BYTES, log.id, fields)
    }
    const chainHead = encodeRecords(block, recordsAt, log, timestamp, append, bytes)
    const fields = { firstOffset: nextOffset, count: append.count, chainHead }
    encodeAppendPrefix(block, prefixAt, log.id, fields, recordsLength)
    sealFrame(block, at, FrameFlag.Committed, timestamp, frameLength - FRAME_HEADER_BYTES)
    const endLsn = this.#buffer.commit(frameLength)
    const frame: TailFrame = {
      firstOffset: nextOffset,
      nextOffset: nextOffset + append.count,
      timestamp,
      chainHead,
      endLsn,
      length: recordsLength,
      ...this.#arena.keep(block, recordsAt, recordsAt + recordsLength, endLsn),
    }
    log.assign(frame)
    if (found === undefined) this.#table.assign(log)
    const durability = append.durability ?? log.config.durability
    return {
      commit: { kind: 'append', endLsn, log, frame, creates: found === undefined },
      value: {
        firstOffset: frame.firstOffset,
        nextOffset: frame.nextOffset,
        durability,
        timestamp,
        chainHead: latin1ToHex(chainHead),
      },
      durability,
    }
  }

  #create(name: string, config: StreamConfig): Accepted | undefined {
    const found = this.#table.assigned(name)
    if (found !== undefined) {
      if (!sameConfig(found.config, config)) {
        throw new StoreError('stream_exists', 'the stream exists with another configuration')
      }
      const value = { created: false, info: found.info('assigned') }
      return { commit: null, value, durability: 'group' }
    }
    this.#checkMayCreate(true)
    const log = this.#newStream(name, config)
    const text = JSON.stringify(config)
    const endLsn = this.#writeFrame(createBytes(name, text), (block, at) =>
      encodeCreate(block, at, log.id, { createdAt: log.createdAt, name, config: text }),
    )
    if (endLsn === undefined) return undefined
    this.#table.assign(log)
    const value = { created: true, info: log.info('assigned') }
    return { commit: { kind: 'create', endLsn, log }, value, durability: 'group' }
  }

  #configure(name: string, change: Partial<StreamConfig>): Accepted | undefined {
    const log = existing(this.#table.assigned(name))
    const config = { ...log.config, ...change }
    const text = JSON.stringify(config)
    const length = OPERATION_HEADER_BYTES + Buffer.byteLength(text)
    const endLsn = this.#writeFrame(length, (block, at) =>
      encodeChange(block, at, OperationType.Configure, log.id, text),
    )
    if (endLsn === undefined) return undefined
    log.config = config
    const value = { info: log.info('assigned') }
    return { commit: { kind: 'configure', endLsn, log, config }, value, durability: 'group' }
  }

  #close(name: string): Accepted | undefined {
    const log = existing(this.#table.assigned(name))
    if (log.state === 'closed') {
      return { commit: null, value: { info: log.info('assigned') }, durability: 'group' }
    }
    const endLsn = this.#writeFrame(OPERATION_HEADER_BYTES, (block, at) =>
      encodeChange(block, at, OperationType.Close, log.id),
    )
    if (endLsn === undefined) return undefined
    log.state = 'closed'
    const value = { info: log.info('assigned') }
    return { commit: { kind: 'close', endLsn, log }, value, durability: 'group' }
  }

  #delete(name: string): Accepted | undefined {
    const log = existing(this.#table.assigned(name))
    const endLsn = this.#writeFrame(OPERATION_HEADER_BYTES, (block, at) =>
      encodeChange(block, at, OperationType.Delete, log.id),
    )
    if (endLsn === undefined) return undefined
    log.state = 'deleted'
    this.#table.unassign(log)
    return { commit: { kind: 'delete', endLsn, log }, value: null, durability: 'group' }
  }

  #barrier(): Accepted | undefined {
    const room = this.#buffer.reserve(FRAME_HEADER_BYTES)
    if (room === undefined) return undefined
    sealFrame(room.block, room.at, FrameFlag.Barrier, this.#environment.nowMicros(), 0)
    const endLsn = this.#buffer.commit(FRAME_HEADER_BYTES)
    return { commit: { kind: 'barrier', endLsn }, value: null, durability: 'immediate' }
  }

  /** Writes a frame of one operation. Returns the LSN of its end, or undefined without room. */
  #writeFrame(length: number, encode: (block: Buffer, at: number) => number): number | undefined {
    const room = this.#buffer.reserve(FRAME_HEADER_BYTES + length)
    if (room === undefined) return undefined
    const payloadAt = room.at + FRAME_HEADER_BYTES
    const end = encode(room.block, payloadAt)
    assert(end === payloadAt + length, 'an operation is as long as it was reserved')
    const timestamp = this.#environment.nowMicros()
    sealFrame(room.block, room.at, FrameFlag.Committed, timestamp, length)
    return this.#buffer.commit(FRAME_HEADER_BYTES + length)
  }

  #checkMayCreate(allowed: boolean): void {
    if (!allowed) throw new StoreError('stream_not_found', 'there is no such stream')
    if (this.#table.size < this.#options.streamsMax) return
    throw new StoreError(
      'too_many_requests',
      `there are ${this.#table.size} streams, the most allowed`,
    )
  }

  #newStream(name: string, config: StreamConfig): StreamLog {
    const id = this.#environment.randomBytes(16)
    return new StreamLog(name, id, this.#environment.nowMicros(), config)
  }
}

/**
 * Encodes a batch's items as records that follow `log`'s head. Returns the new chain head. The
 * items' own bytes are used up on the way: each hash is taken over the space before its content.
 */
function encodeRecords(
  block: Buffer,
  recordsAt: number,
  log: StreamLog,
  timestamp: number,
  append: Append,
  bytes: Buffer,
): string {
  let at = recordsAt
  let itemAt = append.at
  let previousHash = log.chainHead
  const itemsEnd = append.at + append.length
  const view = viewOf(block)
  const source = viewOf(bytes)
  for (let offset = log.nextOffset; offset < log.nextOffset + append.count; offset += 1) {
    const item = decodeBatchItem(bytes, itemAt, itemsEnd)
    const { format, headersAt, headersLength, bodyLength } = item
    const fields = { offset, timestamp, format, previousHash }
    at = encodeRecord(block, view, at, fields, bytes, headersAt, headersLength, bodyLength)
    const chained = { streamId: log.id, previousHash, offset, timestamp, format }
    previousHash = chainHashInPlace(chained, bytes, source, headersAt, headersLength, bodyLength)
    itemAt = item.end
  }
  assert(itemAt === itemsEnd, 'a batch holds as many items as it says')
  return previousHash
}

function sameConfig(left: StreamConfig, right: StreamConfig): boolean {
  return left.durability === right.durability && left.maxSegmentBytes === right.maxSegmentBytes
}

function streamClosed(log: StreamLog): StoreError {
  return new StoreError('stream_closed', 'the stream takes no more records', {
    nextOffset: log.nextOffset,
  })
}
