import { GENESIS_HASH } from '../../shared/format/chain.ts'
import { latin1ToHex } from '../../shared/format/bytes.ts'
import type { StreamEntry } from '../../shared/format/catalogue.ts'
import {
  decodeCheckpointBody,
  StateChange,
  type StoredTrimPoint,
} from '../../shared/format/checkpoint.ts'
import { RecordKind, viewRecord } from '../../shared/format/record.ts'
import { creationHashOf, type StreamState } from '../../shared/format/stream-state.ts'
import type { ProducerResult, ProducerState } from '../../shared/format/producer-state.ts'
import type {
  Checkpoint,
  Producer,
  StreamConfig,
  StreamInfo,
} from '../../shared/protocol/streams.ts'
import type { Reference } from '../../shared/format/reference.ts'
import { ProducerTable } from './producer-table.ts'
import type { WriteFault } from '../../shared/protocol/checkpointer.ts'
import { STREAM_START, type StreamPosition } from './stream-position.ts'
import type { StreamClaim } from './stream-binding.ts'
import { readConfig } from './stream-config.ts'
import type { Chunk } from './tail-arena.ts'

/** The records of one durable or soon durable append, in memory until they are in a segment. */
export type TailFrame = {
  readonly firstOffset: number
  /** Equal to `firstOffset` where it holds a checkpoint alone. */
  readonly nextOffset: number
  readonly timestamp: number
  /** Chain hash after its last record, a checkpoint maybe. */
  readonly chainHead: string
  /** Hash of the stream's last data record after it. */
  readonly recordHash: string
  /** Where the stream stands after it. */
  readonly position: StreamPosition
  readonly hasCheckpoint: boolean
  readonly producer: ProducerState | undefined
  /** LSN of the end of the frame in the journal that made it hold. */
  readonly endLsn: number
  readonly chunk: Chunk
  readonly at: number
  readonly length: number
}

/** An append whose records lie in a segment, and the frame that says so. */
export type StoredAppend = {
  readonly reference: Reference
  readonly timestamp: number
  readonly producer: ProducerState | undefined
  /** LSN of the end of the frame. */
  readonly endLsn: number
}

/** How far the segments reach, as of the last write-back. */
export type StoredExtent = {
  readonly nextOffset: number
  readonly chainHead: string
  readonly recordHash: string
  readonly lastTimestamp: number
  readonly recordBytes: number
  readonly segment: number
  readonly segmentFirstOffset: number
  readonly segmentBytes: number
  readonly firstSegment: number
  readonly trimPoint: StoredTrimPoint
  readonly position: StreamPosition
}

const GENESIS: StoredTrimPoint = { offset: 0, hash: GENESIS_HASH, recordHash: GENESIS_HASH }

const NOTHING_STORED: StoredExtent = {
  nextOffset: 0,
  chainHead: GENESIS_HASH,
  recordHash: GENESIS_HASH,
  lastTimestamp: 0,
  recordBytes: 0,
  segment: 0,
  segmentFirstOffset: 0,
  segmentBytes: 0,
  firstSegment: 0,
  trimPoint: GENESIS,
  position: STREAM_START,
}

/**
 * One stream in three positions, each at or behind the one before: assigned (what the appender
 * gave out), durable (what readers see), stored (what is in segments). An idle stream holds no
 * frames and no open file.
 */
export class StreamLog {
  readonly name: string
  /** 16 bytes as latin1 */
  readonly id: string
  readonly createdAt: number
  /** latin1: hash of the state at creation, which the id commits to. */
  readonly creationHash: string
  /** Why the stream's name or state is not believed; null if it is, undefined before the check. */
  fault: string | null | undefined

  // Assigned.
  firstOffset: number
  nextOffset: number
  chainHead: string
  recordHash: string
  lastTimestamp: number
  position: StreamPosition
  config: StreamConfig
  state: 'open' | 'closed' | 'deleted'

  // Durable.
  durableFirstOffset: number
  durableNextOffset: number
  durableChainHead: string
  durableRecordHash: string
  durableConfig: StreamConfig
  durableState: 'open' | 'closed' | 'deleted'
  /** latin1: record of the checkpoint that signed the durable state; empty if it never changed. */
  stateCheckpoint: string
  /** LSN of the end of the last durable frame of records. */
  durableLsn = 0
  #durableBytes: number

  // Stored.
  stored: StoredExtent
  /** Whether the manifest on disk lacks something, e.g. a new configuration. */
  manifestStale: boolean
  /** Whether the catalogue on disk has an entry for it. */
  catalogued: boolean
  /** Frames beyond `stored`, in order; those at the end may not be durable yet. */
  tail: TailFrame[] | undefined
  /** Frames up to this LSN are in memory that belongs to the stream alone. */
  keptLsn = 0
  /** Why its records cannot be written to segments; appends are refused until they are. */
  writeFault: WriteFault | undefined
  /** Made at the first append that names a producer. */
  producers: ProducerTable | undefined
  /** The last checkpoint that a client asked for, while nothing came after it. */
  requested: { readonly chainHead: string; readonly checkpoint: Checkpoint } | undefined

  constructor(
    name: string,
    id: string,
    createdAt: number,
    config: StreamConfig,
    creationHash = creationHashOf(createdAt, config),
  ) {
    this.name = name
    this.id = id
    this.createdAt = createdAt
    this.creationHash = creationHash
    this.fault = undefined
    this.config = this.durableConfig = config
    this.state = this.durableState = 'open'
    this.firstOffset = this.durableFirstOffset = 0
    this.nextOffset = this.durableNextOffset = 0
    this.chainHead = this.durableChainHead = GENESIS_HASH
    this.recordHash = this.durableRecordHash = GENESIS_HASH
    this.stateCheckpoint = ''
    this.lastTimestamp = 0
    this.position = STREAM_START
    this.#durableBytes = 0
    this.stored = NOTHING_STORED
    this.manifestStale = true
    this.catalogued = false
    this.tail = undefined
    this.writeFault = undefined
    this.producers = undefined
    this.requested = undefined
  }

  /** A stream as the catalogue has it: nothing beyond what is stored. */
  static fromEntry(entry: StreamEntry): StreamLog {
    const { name, streamId, createdAt, nextOffset, chainHead, lastTimestamp, recordBytes } = entry
    const { segment, segmentFirstOffset, segmentBytes, firstSegment, trimPoint } = entry
    const { lastCheckpoint, segmentSince, producers, recordHash } = entry
    const config = readConfig(entry.config)
    const log = new StreamLog(name, streamId, createdAt, config, entry.creationHash)
    log.stateCheckpoint = entry.stateCheckpoint
    log.firstOffset = log.durableFirstOffset = entry.firstOffset
    log.nextOffset = log.durableNextOffset = nextOffset
    log.chainHead = log.durableChainHead = chainHead
    log.recordHash = log.durableRecordHash = recordHash
    log.lastTimestamp = lastTimestamp
    log.position = { segmentFirstOffset, segmentBytes, segmentSince, lastCheckpoint }
    log.#durableBytes = recordBytes
    log.state = log.durableState = entry.closed ? 'closed' : 'open'
    log.stored = {
      nextOffset,
      chainHead,
      recordHash,
      lastTimestamp,
      recordBytes,
      segment,
      segmentFirstOffset,
      segmentBytes,
      firstSegment,
      trimPoint,
      position: log.position,
    }
    log.manifestStale = false
    log.catalogued = true
    if (producers.length > 0) log.producers = ProducerTable.from(producers)
    return log
  }

  /** Stored bytes of all durable records kept, framing included. */
  get durableBytes(): number {
    return this.#durableBytes
  }

  /** Takes a frame's records as assigned: the next append follows them. */
  assign(frame: TailFrame): void {
    this.nextOffset = frame.nextOffset
    this.chainHead = frame.chainHead
    this.recordHash = frame.recordHash
    this.lastTimestamp = frame.timestamp
    this.position = frame.position
    this.tail ??= []
    this.tail.push(frame)
    if (frame.producer !== undefined) this.producers?.assign(frame.producer)
  }

  /** What is known of a producer once it has appended with this result. */
  nextProducer(producer: Producer, result: ProducerResult): ProducerState {
    this.producers ??= new ProducerTable()
    return this.producers.next(producer, result)
  }

  /** Shows a frame's records to readers: its block is on stable storage. */
  makeDurable(frame: TailFrame): void {
    this.durableNextOffset = frame.nextOffset
    this.durableChainHead = frame.chainHead
    this.durableRecordHash = frame.recordHash
    this.durableLsn = frame.endLsn
    this.#durableBytes += frame.length
    if (frame.producer !== undefined) this.producers?.makeDurable(frame.producer)
    if (frame.nextOffset === frame.firstOffset) {
      this.noteStateCheckpoint(frame.chunk.bytes, frame.at)
    }
  }

  /** Keeps the record at `at` if it is a checkpoint that came with a change of the state. */
  noteStateCheckpoint(bytes: Buffer, at: number): void {
    const record = viewRecord(bytes, at)
    if (record?.kind !== RecordKind.Checkpoint) return
    const change = decodeCheckpointBody(bytes, record)?.change ?? StateChange.None
    if (change === StateChange.None) return
    this.stateCheckpoint = bytes.latin1Slice(at, record.end)
  }

  /** The state that the next checkpoint signs. */
  get assignedState(): StreamState {
    const { createdAt, config, firstOffset } = this
    return { createdAt, config, closed: this.state === 'closed', firstOffset }
  }

  /** The durable name and state, with the hashes that vouch for them. */
  get claim(): StreamClaim {
    const { name, id: streamId, createdAt, durableConfig: config, creationHash } = this
    const closed = this.durableState === 'closed'
    const state = { createdAt, config, closed, firstOffset: this.durableFirstOffset }
    return { name, streamId, state, creationHash, stateCheckpoint: this.stateCheckpoint }
  }

  /** Takes records as assigned that lie in a segment already; no frame holds them. */
  assignStored({ reference, timestamp, producer }: StoredAppend): void {
    this.nextOffset = reference.firstOffset + reference.count
    this.chainHead = reference.chainHead
    this.recordHash = reference.recordHash
    this.lastTimestamp = timestamp
    this.position = positionOf(reference)
    if (producer !== undefined) this.producers?.assign(producer)
  }

  /**
   * Shows such records to readers: the reference is on stable storage. Everything before them is in
   * segments too, so the frames go.
   */
  makeStoredDurable({ reference, timestamp, producer, endLsn }: StoredAppend): void {
    const { firstOffset, count, chainHead, recordHash, recordBytes, segment } = reference
    const { segmentFirstOffset, segmentBytes } = reference
    const { firstSegment, trimPoint } = this.stored
    const nextOffset = firstOffset + count
    this.durableNextOffset = nextOffset
    this.durableChainHead = chainHead
    this.durableRecordHash = recordHash
    this.durableLsn = endLsn
    this.#durableBytes += reference.length
    if (producer !== undefined) this.producers?.makeDurable(producer)
    const extent = { recordBytes, segment, segmentFirstOffset, segmentBytes, firstSegment }
    const position = positionOf(reference)
    const end = { nextOffset, chainHead, recordHash, lastTimestamp: timestamp, position }
    this.markStored({ ...end, ...extent, trimPoint }, endLsn, 0)
  }

  /**
   * Frees the frames that a write-back up to `lsn` has stored in segments.
   * @param freedBytes of the segments that it let go
   */
  markStored(extent: StoredExtent, lsn: number, freedBytes: number): void {
    this.stored = extent
    this.#durableBytes -= freedBytes
    const rest = this.tail?.filter(frame => frame.endLsn > lsn)
    this.tail = rest === undefined || rest.length === 0 ? undefined : rest
  }

  /** Copies the frames up to `lsn` to own memory, because a write-back frees the shared chunks. */
  keepFrames(lsn: number): void {
    const { keptLsn } = this
    const isMoved = ({ endLsn }: TailFrame) => endLsn > keptLsn && endLsn <= lsn
    const length = (this.tail ?? []).reduce((sum, one) => sum + (isMoved(one) ? one.length : 0), 0)
    this.keptLsn = lsn
    if (length === 0) return
    const memory = new SharedArrayBuffer(length)
    const chunk: Chunk = { memory, bytes: Buffer.from(memory), used: 0, endLsn: lsn }
    this.tail = this.tail?.map(frame => {
      if (!isMoved(frame)) return frame
      const at = chunk.used
      chunk.used += frame.chunk.bytes.copy(chunk.bytes, at, frame.at, frame.at + frame.length)
      return { ...frame, chunk, at }
    })
  }

  /**
   * What readers may know; `assigned` shows the state that the last accepted operation leads to.
   */
  info(view: 'durable' | 'assigned' = 'durable'): StreamInfo {
    const assigned = view === 'assigned'
    const nextOffset = assigned ? this.nextOffset : this.durableNextOffset
    const state = assigned ? this.state : this.durableState
    const { segment, firstSegment } = this.stored
    return {
      stream: this.name,
      streamId: latin1ToHex(this.id),
      state: state === 'open' ? 'open' : 'closed',
      firstOffset: assigned ? this.firstOffset : this.durableFirstOffset,
      nextOffset,
      chainHead: latin1ToHex(assigned ? this.chainHead : this.durableChainHead),
      recordBytes: this.#durableBytes,
      segments: nextOffset === 0 ? 0 : segment - firstSegment + 1,
      createdAt: this.createdAt,
      config: assigned ? this.config : this.durableConfig,
    }
  }
}

function positionOf(reference: Reference): StreamPosition {
  const { segmentFirstOffset, segmentBytes, segmentSince, lastCheckpoint } = reference
  return { segmentFirstOffset, segmentBytes, segmentSince, lastCheckpoint }
}
