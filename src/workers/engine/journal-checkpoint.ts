import { assert } from '../../shared/assert.ts'
import {
  encodeStreamEntry,
  type StreamEntry,
  streamEntryBytesMax,
} from '../../shared/format/catalogue.ts'
import {
  type CheckpointDone,
  type CheckpointJob,
  EXTENT_NUMBERS,
} from '../../shared/protocol/checkpointer.ts'
import type { BlockMark } from '../journal/log-buffer.ts'
import type { StoredExtent, StreamLog, TailFrame } from '../streams/stream-log.ts'
import type { Chunk } from '../streams/tail-arena.ts'

/** What the last checkpoint left. */
export type CheckpointMark = { readonly lsn: number; readonly catalogueBytes: number }

type Running = {
  readonly mark: BlockMark
  readonly logs: readonly StreamLog[]
  /** Per log: how far it will be stored. */
  readonly ends: readonly Omit<StoredExtent, 'segment' | 'segmentFirstOffset' | 'segmentBytes'>[]
  readonly removed: readonly StreamLog[]
}

/**
 * Gathers what changed since the last journal checkpoint and hands it to the checkpointer thread,
 * while appends go on. Everything here is the durable state at one LSN: each durable frame is
 * already applied, none beyond is.
 */
export class JournalCheckpoint {
  #dirty = new Set<StreamLog>()
  #removed = new Set<StreamLog>()
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

  get isRunning(): boolean {
    return this.#running !== undefined
  }

  /** Whether some stream differs from what the catalogue says. */
  get isDirty(): boolean {
    return this.#dirty.size + this.#removed.size > 0
  }

  noteChanged(log: StreamLog): void {
    this.#dirty.add(log)
  }

  noteDeleted(log: StreamLog): void {
    this.#dirty.delete(log)
    this.#removed.add(log)
  }

  /** The job that brings segments and catalogue up to the block `mark`, the last durable one. */
  start(mark: BlockMark, nowMicros: number, streams: number): CheckpointJob {
    assert(this.#running === undefined, 'one journal checkpoint runs at a time')
    const logs = [...this.#dirty]
    const removed = [...this.#removed]
    const frames = new FrameList()
    const entries = encodeEntries(logs, frames, mark.endLsn)
    this.#running = { mark, logs, ends: logs.map(endOf), removed }
    this.#dirty = new Set()
    this.#removed = new Set()
    return {
      kind: 'checkpoint',
      entries,
      frames: Uint32Array.from(frames.numbers),
      chunks: frames.chunks,
      removed: removed.map(log => ({ name: log.name, streamId: log.id })),
      commit: {
        checkpointLsn: mark.endLsn,
        journalFile: mark.file,
        blockNumber: mark.number,
        blockHash: mark.hash,
        timestamp: nowMicros,
      },
      catalogueBytes: this.#last.catalogueBytes,
      streams,
    }
  }

  /**
   * Takes the checkpointer's word that the job holds. Returns the LSN below which nothing is
   * needed.
   */
  finish(done: CheckpointDone): number {
    const running = this.#running
    assert(running !== undefined, 'a checkpoint that ends was started')
    for (const [at, log] of running.logs.entries()) {
      const [segment, segmentFirstOffset, segmentBytes, recordBytes] = done.extents.subarray(
        at * EXTENT_NUMBERS,
      ) as unknown as [number, number, number, number]
      const end = running.ends[at] as Running['ends'][number]
      log.markStored({ ...end, recordBytes, segment, segmentFirstOffset, segmentBytes })
      log.catalogued = true
    }
    this.#running = undefined
    this.#last = { lsn: running.mark.endLsn, catalogueBytes: done.catalogueBytes }
    this.count += 1
    return this.#last.lsn
  }

  /** Takes a job back that failed without a commit: its streams are as dirty as before. */
  abandon(): void {
    for (const log of this.#running?.logs ?? []) {
      log.manifestStale = true // it may have been; writing it once more does no harm
      if (log.durableState !== 'deleted') this.#dirty.add(log)
    }
    for (const log of this.#running?.removed ?? []) this.#removed.add(log)
    this.#running = undefined
  }
}

/** The frames of a job, as numbers beside the memory that they are in. */
class FrameList {
  readonly numbers: number[] = []
  readonly chunks: SharedArrayBuffer[] = []
  readonly #indexes = new Map<Chunk, number>()

  add(frames: readonly TailFrame[], manifestStale: boolean): void {
    this.numbers.push(manifestStale ? 1 : 0, frames.length)
    for (const { chunk, at, length } of frames) {
      let index = this.#indexes.get(chunk)
      if (index === undefined) {
        index = this.chunks.push(chunk.memory) - 1
        this.#indexes.set(chunk, index)
      }
      this.numbers.push(index, at, length)
    }
  }
}

function encodeEntries(logs: readonly StreamLog[], frames: FrameList, endLsn: number): Uint8Array {
  const configs = logs.map(log => JSON.stringify(log.durableConfig))
  const bytesMax = logs.reduce(
    (sum, log, at) => sum + streamEntryBytesMax(log.name, configs[at] as string),
    0,
  )
  const bytes = Buffer.allocUnsafeSlow(bytesMax)
  let at = 0
  for (const [index, log] of logs.entries()) {
    at = encodeStreamEntry(bytes, at, entryOf(log, configs[index] as string))
    const stored = (log.tail ?? []).filter(frame => frame.endLsn <= endLsn)
    frames.add(stored, log.manifestStale)
    log.manifestStale = false
  }
  return bytes.subarray(0, at)
}

function entryOf(log: StreamLog, config: string): StreamEntry {
  const { nextOffset, chainHead, lastTimestamp } = endOf(log)
  return {
    name: log.name,
    config,
    streamId: log.id,
    chainHead,
    createdAt: log.createdAt,
    lastTimestamp,
    firstOffset: log.firstOffset,
    nextOffset,
    recordBytes: log.stored.recordBytes,
    segment: log.stored.segment,
    segmentFirstOffset: log.stored.segmentFirstOffset,
    segmentBytes: log.stored.segmentBytes,
    closed: log.durableState === 'closed',
  }
}

function endOf(log: StreamLog): Running['ends'][number] {
  const last = log.tail?.findLast(frame => frame.nextOffset <= log.durableNextOffset)
  return {
    nextOffset: log.durableNextOffset,
    chainHead: log.durableChainHead,
    lastTimestamp: last?.timestamp ?? log.stored.lastTimestamp,
    recordBytes: log.stored.recordBytes,
  }
}
