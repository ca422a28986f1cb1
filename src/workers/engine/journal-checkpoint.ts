import { assert } from '../../shared/assert.ts'
import { latin1ToHex } from '../../shared/format/bytes.ts'
import {
  encodeStreamEntry,
  NOTHING_UNWRITTEN,
  type StreamEntry,
  streamEntryBytesMax,
} from '../../shared/format/catalogue.ts'
import {
  type CheckpointDone,
  type CheckpointJob,
  EXTENT_NUMBERS,
  type ExtentNumbers,
  type StoredEndNumbers,
  StreamFlag,
  type WriteFault,
} from '../../shared/protocol/checkpointer.ts'
import type { ProducerState } from '../../shared/format/producer-state.ts'
import type { StreamDamage } from '../../shared/protocol/streams.ts'
import { FrameList } from './frame-list.ts'
import type { BlockMark } from '../journal/log-buffer.ts'
import type { StoredExtent, StreamLog } from '../streams/stream-log.ts'
import { endsWithCheckpoint } from '../streams/stream-position.ts'
import type { TransactionLedger } from './transaction-ledger.ts'

/** Where a stream's durable records end. */
type StreamEnd = Pick<
  StoredExtent,
  'nextOffset' | 'chainHead' | 'recordHash' | 'lastTimestamp' | 'position'
>

/** What the last checkpoint left. */
export type CheckpointMark = {
  readonly lsn: number
  readonly catalogueBytes: number
  /** latin1 */
  readonly catalogueSalt: string
  /** The trusted clock then. */
  readonly clockMicros: number
}

/** When a checkpoint is made: by the system's clock and by the trusted one, µs since 1970. */
export type CheckpointTime = {
  readonly timestamp: number
  /** What ages are measured by. */
  readonly ageMicros: number
  /** How far the trusted clock has come; the next start goes on from there. */
  readonly clockMicros: number
}

/** Options of the shard that a write-back needs. */
export type ShardLimits = {
  readonly producerExpirySeconds: number
  readonly diskReserveBytes: number
}

/** Hears what a checkpoint did to a stream's segments. */
type StoredListener = {
  noteStored(log: StreamLog, hasRolled: boolean, freedBytes: number): void
}

type Running = {
  readonly mark: BlockMark
  readonly clockMicros: number
  readonly logs: readonly StreamLog[]
  /** Those whose state differs from the catalogue. */
  readonly dirty: ReadonlySet<StreamLog>
  /** Per log: how far it will be stored. */
  readonly ends: readonly StreamEnd[]
  readonly removed: readonly StreamLog[]
}

const UNWRITTEN = 'the records are safe, but cannot be written to the files of the stream'
const NOT_WRITTEN_BEFORE: WriteFault = {
  reason: 'a write-back before the last start failed, and is retried',
  isForSpace: false,
}

/**
 * Gathers what changed since the last write-back and hands it to the checkpointer thread,
 * while appends go on. Everything here is the durable state at one LSN: each durable frame is
 * already applied, none beyond is.
 *
 * A stream whose files cannot be written does not delay the others. The write-back puts its frames
 * into the catalogue, and the stream's appends are refused from then on. Each later write-back
 * retries, and the first that succeeds ends the refusal.
 */
export class JournalCheckpoint {
  #dirty = new Set<StreamLog>()
  #removed = new Set<StreamLog>()
  readonly #unwritten = new Set<StreamLog>()
  #running: Running | undefined
  #last: CheckpointMark
  /** Checkpoints that came to their commit since the start. */
  count = 0

  constructor(last: CheckpointMark) {
    this.#last = last
  }

  get lsn(): number {
    return this.#last.lsn
  }

  /** The trusted clock at the last commit, µs since 1970. */
  get clockMicros(): number {
    return this.#last.clockMicros
  }

  get isRunning(): boolean {
    return this.#running !== undefined
  }

  /** Whether some stream differs from what the catalogue says. */
  get isDirty(): boolean {
    return this.#dirty.size + this.#removed.size > 0
  }

  /** Whether the catalogue has records that could not be written to segments. */
  get hasUnwritten(): boolean {
    return this.#unwritten.size > 0
  }

  /** The record ranges that could not be written to segments, with the reasons. */
  get unwritten(): StreamDamage[] {
    return [...this.#unwritten].map(log => {
      const stream = { stream: log.name, streamId: latin1ToHex(log.id) }
      const { nextOffset } = log.stored
      const firstOffset = Math.max(nextOffset, log.durableFirstOffset)
      const range = { firstOffset, nextOffset: log.durableNextOffset }
      const { reason } = log.writeFault ?? NOT_WRITTEN_BEFORE
      return { ...stream, ...range, reason: `${UNWRITTEN}: ${reason}` }
    })
  }

  /** The streams that differ from what the catalogue says, and are kept. */
  get changed(): Iterable<StreamLog> {
    return this.#dirty
  }

  noteChanged(log: StreamLog): void {
    this.#dirty.add(log)
  }

  noteManifestStale(log: StreamLog): void {
    log.manifestStale = true
    // An unwritten stream is part of every write-back, and its catalogue entry is still right.
    if (!this.#unwritten.has(log)) this.#dirty.add(log)
  }

  /** Notes a stream whose last records are in the catalogue because they could not be stored. */
  noteUnwritten(log: StreamLog, fault = NOT_WRITTEN_BEFORE): void {
    log.writeFault = fault
    log.manifestStale = true // it may be behind; writing it once more does no harm
    this.#unwritten.add(log)
  }

  noteDeleted(log: StreamLog): void {
    this.#dirty.delete(log)
    this.#unwritten.delete(log)
    this.#removed.add(log)
  }

  /**
   * The job that brings segments and catalogue up to the block `mark`, the last durable one.
   * @param ledger what it carries on of transactions
   */
  start(
    mark: BlockMark,
    { timestamp, ageMicros, clockMicros }: CheckpointTime,
    streams: number,
    { producerExpirySeconds, diskReserveBytes: reserveBytes }: ShardLimits,
    { decisions, witnesses }: Pick<TransactionLedger, 'decisions' | 'witnesses'>,
  ): CheckpointJob {
    assert(this.#running === undefined, 'one write-back runs at a time')
    const dirty = this.#dirty
    const logs = [...new Set([...dirty, ...this.#unwritten])]
    const removed = [...this.#removed]
    const frames = new FrameList()
    const expiredBefore = ageMicros - producerExpirySeconds * 1e6
    const entries = encodeEntries(logs, dirty, frames, mark.endLsn, expiredBefore)
    this.#running = { mark, clockMicros, logs, dirty, ends: logs.map(endOf), removed }
    this.#dirty = new Set()
    this.#removed = new Set()
    return {
      kind: 'checkpoint',
      entries,
      storedEnds: Float64Array.from(logs.flatMap(storedEndOf)),
      frames: Uint32Array.from(frames.numbers),
      chunks: frames.chunks,
      removed: removed.map(log => ({ name: log.name, streamId: log.id })),
      decisions,
      witnesses,
      commit: {
        checkpointLsn: mark.endLsn,
        journalFile: mark.file,
        blockNumber: mark.number,
        blockHash: mark.hash,
        timestamp,
        clockMicros,
      },
      catalogueBytes: this.#last.catalogueBytes,
      catalogueSalt: this.#last.catalogueSalt,
      streams,
      reserveBytes,
    }
  }

  /**
   * Takes the checkpointer's word that the job holds. Returns the LSN below which nothing is
   * needed. `listener` hears of each stream that sealed segments or let some go.
   */
  finish(done: CheckpointDone, listener: StoredListener): number {
    const running = this.#running
    assert(running !== undefined, 'a checkpoint that ends was started')
    for (const [at, log] of running.logs.entries()) {
      const fault = done.unwritten.get(at)
      if (fault !== undefined) {
        this.#keepUnwritten(log, fault, running.mark.endLsn)
        continue
      }
      const [segment, segmentFirstOffset, segmentBytes, recordBytes, firstSegment, freedBytes] =
        done.extents.subarray(at * EXTENT_NUMBERS) as unknown as ExtentNumbers
      const end = running.ends[at] as StreamEnd
      const { position } = end
      const agrees =
        position.segmentBytes === segmentBytes && position.segmentFirstOffset === segmentFirstOffset
      assert(agrees, `the segments of ${log.name} end where the appender said`)
      const trimPoint = done.trimPoints.get(at) ?? log.stored.trimPoint
      const extent = { recordBytes, segment, segmentFirstOffset, segmentBytes, firstSegment }
      const hasRolled = segment > log.stored.segment
      log.markStored({ ...end, ...extent, trimPoint }, running.mark.endLsn, freedBytes)
      if (hasRolled || freedBytes > 0) listener.noteStored(log, hasRolled, freedBytes)
      log.catalogued = true
      log.writeFault = undefined
      this.#unwritten.delete(log)
    }
    this.#running = undefined
    const { mark, clockMicros } = running
    const { catalogueBytes } = done
    this.#last = { ...this.#last, lsn: mark.endLsn, catalogueBytes, clockMicros }
    this.count += 1
    return this.#last.lsn
  }

  #keepUnwritten(log: StreamLog, fault: WriteFault, endLsn: number): void {
    log.keepFrames(endLsn)
    log.catalogued = true
    if (log.durableState !== 'deleted') this.noteUnwritten(log, fault)
  }

  /** Takes a job back that failed without a commit: its streams are as dirty as before. */
  abandon(): void {
    for (const log of this.#running?.logs ?? []) log.manifestStale = true // it may have been
    for (const log of this.#running?.dirty ?? []) {
      if (log.durableState !== 'deleted') this.#dirty.add(log)
    }
    for (const log of this.#running?.removed ?? []) this.#removed.add(log)
    this.#running = undefined
  }
}

function encodeEntries(
  logs: readonly StreamLog[],
  dirty: ReadonlySet<StreamLog>,
  frames: FrameList,
  endLsn: number,
  expiredBefore: number,
): Uint8Array {
  const configs = logs.map(log => JSON.stringify(log.durableConfig))
  const producers = logs.map(log => log.producers?.durable(expiredBefore) ?? [])
  const bytesMax = logs.reduce(
    (sum, log, at) =>
      sum + streamEntryBytesMax(log.name, configs[at] as string, producers[at] ?? []),
    0,
  )
  const bytes = Buffer.allocUnsafeSlow(bytesMax)
  let at = 0
  for (const [index, log] of logs.entries()) {
    const entry = entryOf(log, configs[index] as string, producers[index] ?? [])
    at = encodeStreamEntry(bytes, at, entry)
    const stored = (log.tail ?? []).filter(frame => frame.endLsn <= endLsn)
    const { position, nextOffset } = log.stored
    const flags =
      (log.manifestStale ? StreamFlag.ManifestStale : 0) |
      (endsWithCheckpoint(position, nextOffset) ? StreamFlag.EndsWithCheckpoint : 0) |
      (dirty.has(log) ? 0 : StreamFlag.AlreadyUnwritten)
    frames.add(stored, flags)
    log.manifestStale = false
  }
  return bytes.subarray(0, at)
}

function entryOf(log: StreamLog, config: string, producers: readonly ProducerState[]): StreamEntry {
  const { nextOffset, chainHead, lastTimestamp, position } = endOf(log)
  return {
    name: log.name,
    config,
    streamId: log.id,
    chainHead,
    recordHash: log.stored.recordHash,
    createdAt: log.createdAt,
    lastTimestamp,
    firstOffset: log.durableFirstOffset,
    nextOffset,
    recordBytes: log.stored.recordBytes,
    segment: log.stored.segment,
    segmentFirstOffset: log.stored.segmentFirstOffset,
    segmentBytes: log.stored.segmentBytes,
    closed: log.durableState === 'closed',
    lastCheckpoint: position.lastCheckpoint,
    segmentSince: position.segmentSince,
    trimPoint: log.stored.trimPoint,
    firstSegment: log.stored.firstSegment,
    producers,
    unwritten: NOTHING_UNWRITTEN,
    creationHash: log.creationHash,
    stateCheckpoint: log.stateCheckpoint,
  }
}

function storedEndOf({ stored: { lastTimestamp, position } }: StreamLog): StoredEndNumbers {
  return [lastTimestamp, position.lastCheckpoint, position.segmentSince]
}

function endOf(log: StreamLog): StreamEnd {
  const last = log.tail?.findLast(frame => frame.endLsn <= log.durableLsn)
  return {
    nextOffset: log.durableNextOffset,
    chainHead: log.durableChainHead,
    recordHash: log.durableRecordHash,
    lastTimestamp: last?.timestamp ?? log.stored.lastTimestamp,
    position: last?.position ?? log.stored.position,
  }
}
