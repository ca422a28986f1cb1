import { GENESIS_HASH } from '../../shared/format/chain.ts'
import { latin1ToHex } from '../../shared/format/bytes.ts'
import type { StreamEntry } from '../../shared/format/catalogue.ts'
import type { StreamConfig, StreamInfo } from '../../shared/protocol/streams.ts'
import type { Chunk } from './tail-arena.ts'

/** The records of one durable or soon durable append, in memory until they are in a segment. */
export type TailFrame = {
  readonly firstOffset: number
  readonly nextOffset: number
  readonly timestamp: number
  /** Chain hash after its last record. */
  readonly chainHead: string
  /** LSN of the end of its frame in the journal. */
  readonly endLsn: number
  readonly chunk: Chunk
  readonly at: number
  readonly length: number
}

/** How far the segments reach, as of the last journal checkpoint. */
export type StoredExtent = {
  readonly nextOffset: number
  readonly chainHead: string
  readonly lastTimestamp: number
  readonly recordBytes: number
  readonly segment: number
  readonly segmentFirstOffset: number
  readonly segmentBytes: number
}

const NOTHING_STORED: StoredExtent = {
  nextOffset: 0,
  chainHead: GENESIS_HASH,
  lastTimestamp: 0,
  recordBytes: 0,
  segment: 0,
  segmentFirstOffset: 0,
  segmentBytes: 0,
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
  readonly firstOffset = 0

  // Assigned.
  nextOffset: number
  chainHead: string
  lastTimestamp: number
  config: StreamConfig
  state: 'open' | 'closed' | 'deleted'

  // Durable.
  durableNextOffset: number
  durableChainHead: string
  durableConfig: StreamConfig
  durableState: 'open' | 'closed' | 'deleted'
  #durableBytes: number

  // Stored.
  stored: StoredExtent
  /** Whether the manifest on disk lacks something, e.g. a new configuration. */
  manifestStale: boolean
  /** Whether the catalogue on disk has an entry for it. */
  catalogued: boolean
  /** Frames beyond `stored`, in order; those at the end may not be durable yet. */
  tail: TailFrame[] | undefined

  constructor(name: string, id: string, createdAt: number, config: StreamConfig) {
    this.name = name
    this.id = id
    this.createdAt = createdAt
    this.config = this.durableConfig = config
    this.state = this.durableState = 'open'
    this.nextOffset = this.durableNextOffset = 0
    this.chainHead = this.durableChainHead = GENESIS_HASH
    this.lastTimestamp = 0
    this.#durableBytes = 0
    this.stored = NOTHING_STORED
    this.manifestStale = true
    this.catalogued = false
    this.tail = undefined
  }

  /** A stream as the catalogue has it: nothing beyond what is stored. */
  static fromEntry(entry: StreamEntry): StreamLog {
    const { name, streamId, createdAt, nextOffset, chainHead, lastTimestamp, recordBytes } = entry
    const log = new StreamLog(name, streamId, createdAt, JSON.parse(entry.config) as StreamConfig)
    log.nextOffset = log.durableNextOffset = nextOffset
    log.chainHead = log.durableChainHead = chainHead
    log.lastTimestamp = lastTimestamp
    log.#durableBytes = recordBytes
    log.state = log.durableState = entry.closed ? 'closed' : 'open'
    log.stored = {
      nextOffset,
      chainHead,
      lastTimestamp,
      recordBytes,
      segment: entry.segment,
      segmentFirstOffset: entry.segmentFirstOffset,
      segmentBytes: entry.segmentBytes,
    }
    log.manifestStale = false
    log.catalogued = true
    return log
  }

  /** Takes a frame's records as assigned: the next append follows them. */
  assign(frame: TailFrame): void {
    this.nextOffset = frame.nextOffset
    this.chainHead = frame.chainHead
    this.lastTimestamp = frame.timestamp
    this.tail ??= []
    this.tail.push(frame)
  }

  /** Shows a frame's records to readers: its block is on stable storage. */
  makeDurable(frame: TailFrame): void {
    this.durableNextOffset = frame.nextOffset
    this.durableChainHead = frame.chainHead
    this.#durableBytes += frame.length
  }

  /** Lets go of the frames that a journal checkpoint has put into segments. */
  markStored(extent: StoredExtent): void {
    this.stored = extent
    const rest = this.tail?.filter(frame => frame.firstOffset >= extent.nextOffset)
    this.tail = rest === undefined || rest.length === 0 ? undefined : rest
  }

  /**
   * What readers may know; `assigned` shows the state that the last accepted operation leads to.
   */
  info(view: 'durable' | 'assigned' = 'durable'): StreamInfo {
    const assigned = view === 'assigned'
    const nextOffset = assigned ? this.nextOffset : this.durableNextOffset
    const state = assigned ? this.state : this.durableState
    return {
      stream: this.name,
      streamId: latin1ToHex(this.id),
      state: state === 'open' ? 'open' : 'closed',
      firstOffset: this.firstOffset,
      nextOffset,
      chainHead: latin1ToHex(assigned ? this.chainHead : this.durableChainHead),
      recordBytes: this.#durableBytes,
      segments: nextOffset === 0 ? 0 : this.stored.segment + 1,
      createdAt: this.createdAt,
      config: assigned ? this.config : this.durableConfig,
    }
  }
}
