import type { RetainedStream, RetentionDone } from '../../shared/protocol/checkpointer.ts'
import type { TrimStats } from '../../shared/protocol/shard.ts'
import { expiredThrough, hasRetention } from '../streams/retention.ts'
import type { StreamLog } from '../streams/stream-log.ts'
import type { EngineParts } from './engine-parts.ts'
import type { MutationQueue } from './mutation-queue.ts'
import { type TrimCause, TrimCounts } from './trim-counts.ts'

// Retention works in passes. A job of the write-back thread reads the manifests of streams and
// finds the segments to trim. The engine then queues a trim for each stream, like a client's.

/** Streams of one job, so that a write-back does not wait long for it. */
const JOB_STREAMS_MAX = 1000
const NO_BYTES = Buffer.alloc(0)

type Pass = {
  readonly rest: StreamLog[]
  /** Streams whose manifests the write-back thread reads now. */
  asked: readonly StreamLog[] | undefined
  /** Trims that are not in the log buffer yet. */
  open: number
  streams: number
  records: number
  bytes: number
}

export class RetentionKeeper {
  readonly #parts: EngineParts
  readonly #queue: MutationQueue
  readonly #counts = new TrimCounts()
  readonly #retained = new Set<StreamLog>()
  /** Streams that have sealed a segment since the last pass. */
  readonly #rolled = new Set<StreamLog>()
  /** When a stream's first segment will be too old, µs since 1970, if it is known. */
  readonly #expiries = new WeakMap<StreamLog, number>()
  /** Streams whose damaged manifest was logged, so that each is logged once. */
  readonly #damaged = new WeakSet<StreamLog>()
  #dueMs: number
  #pass: Pass | undefined

  constructor(parts: EngineParts, queue: MutationQueue) {
    this.#parts = parts
    this.#queue = queue
    for (const log of parts.table.all()) this.note(log)
    this.#dueMs = parts.environment.monotonicMs()
  }

  /** When to call `advance` at the latest, ms; undefined: not before the next event. */
  get deadline(): number | undefined {
    return this.#retained.size === 0 || this.#pass !== undefined ? undefined : this.#dueMs
  }

  /** Notes a stream's durable configuration. */
  note(log: StreamLog): void {
    this.#expiries.delete(log)
    if (typeof log.fault !== 'string' && hasRetention(log.durableConfig.retention))
      this.#retained.add(log)
    else this.forget(log)
  }

  forget(log: StreamLog): void {
    this.#retained.delete(log)
    this.#rolled.delete(log)
  }

  /** Notes that a write-back has sealed or trimmed segments of the stream. */
  noteStored(log: StreamLog, hasRolled: boolean, freedBytes: number): void {
    if (hasRolled && this.#retained.has(log)) this.#rolled.add(log)
    if (freedBytes > 0) this.#counts.noteFreed(log, freedBytes)
  }

  noteTrimmed(log: StreamLog, records: number, cause: TrimCause): void {
    this.#counts.noteTrimmed(log, records, cause)
  }

  noteRemoved(segments: number): void {
    this.#counts.noteRemoved(segments)
  }

  get stats(): TrimStats {
    return this.#counts.stats
  }

  /** Begins a pass when one is due. */
  advance(nowMs: number): void {
    if (this.#pass !== undefined) return
    const isDue = nowMs >= this.#dueMs
    if (!isDue && this.#rolled.size === 0) return
    if (isDue) this.#dueMs = nowMs + this.#parts.options.retentionIntervalMs
    const rest = [...(isDue ? this.#retained : this.#rolled)]
    this.#rolled.clear()
    if (rest.length === 0) return
    this.#pass = { rest, asked: undefined, open: 0, streams: 0, records: 0, bytes: 0 }
    this.#askNext(this.#pass)
  }

  onDone({ answers }: RetentionDone): void {
    const pass = this.#pass
    if (pass?.asked === undefined) return
    const { asked } = pass
    pass.asked = undefined
    for (const [at, { before, bytes, expiresAt, damaged }] of answers.entries()) {
      const log = asked[at] as StreamLog
      if (damaged !== null) {
        this.#rebuild(log, damaged)
        continue
      }
      this.#expiries.set(log, expiresAt)
      if (before !== null) this.#trim(pass, log, before, bytes)
    }
    this.#askNext(pass)
  }

  /** Ends the pass after its job failed; the next pass asks again. */
  abandon(): void {
    this.#pass = undefined
  }

  #askNext(pass: Pass): void {
    const asked: StreamLog[] = []
    const now = this.#parts.clock.now()
    for (let log = pass.rest.pop(); log !== undefined; log = pass.rest.pop()) {
      if (this.#isIdleTooLong(log, now)) this.#trimAll(pass, log)
      else if (this.#mayTrim(log, now) && asked.push(log) === JOB_STREAMS_MAX) break
    }
    if (asked.length === 0) return this.#endPass(pass)
    pass.asked = asked
    this.#parts.postJob({ kind: 'retention', streams: asked.map(view), nowMicros: now })
  }

  #isIdleTooLong(log: StreamLog, now: number): boolean {
    const isEmpty = log.firstOffset === log.nextOffset
    return !isEmpty && log.lastTimestamp <= expiredThrough(log.durableConfig.retention, now)
  }

  /** Whether the manifest could name a segment to trim. */
  #mayTrim(log: StreamLog, now: number): boolean {
    const { durableFirstOffset, durableNextOffset, stored } = log
    const { maxRecords, maxBytes, maxAgeSeconds } = log.durableConfig.retention
    if (stored.segment === stored.firstSegment) return false
    if (log.durableState === 'deleted') return false
    return (
      (maxRecords !== undefined && durableNextOffset - durableFirstOffset > maxRecords) ||
      (maxBytes !== undefined && log.durableBytes > maxBytes) ||
      (maxAgeSeconds !== undefined && now >= (this.#expiries.get(log) ?? 0))
    )
  }

  #trimAll(pass: Pass, log: StreamLog): void {
    this.#trim(pass, log, log.nextOffset, log.durableBytes)
  }

  #trim(pass: Pass, log: StreamLog, before: number, bytes: number): void {
    const records = before - log.firstOffset
    if (records <= 0) return // a client was faster
    pass.open += 1
    const mutation = { kind: 'trim', stream: log.name, streamId: log.id, before } as const
    const answer = (result: object) => {
      pass.open -= 1
      if (!('error' in result)) {
        pass.streams += 1
        pass.records += records
        pass.bytes += bytes
      }
      this.#endPass(pass)
    }
    this.#queue.push({ mutation, bytes: NO_BYTES, answer, onParked: () => undefined })
  }

  #endPass(pass: Pass): void {
    if (pass.open > 0 || pass.asked !== undefined || pass !== this.#pass) return
    if (pass.rest.length > 0) return
    this.#pass = undefined
    const { streams, records, bytes } = pass
    if (streams === 0) return
    const message = 'retention trimmed records'
    this.#parts.emit({ kind: 'log', level: 'info', message, fields: { streams, records, bytes } })
  }

  /** Has the next write-back rebuild a damaged manifest from the segments. */
  #rebuild(log: StreamLog, file: string): void {
    if (log.durableState === 'deleted') return
    this.#parts.checkpoint.noteManifestStale(log)
    if (this.#damaged.has(log)) return
    this.#damaged.add(log)
    const message = 'a manifest is damaged: retention skips its stream until it is rebuilt'
    this.#parts.emit({ kind: 'log', level: 'error', message, fields: { file } })
  }
}

function view(log: StreamLog): RetainedStream {
  const { firstSegment, segment } = log.stored
  return {
    name: log.name,
    streamId: log.id,
    firstSegment,
    segment,
    nextOffset: log.durableNextOffset,
    recordBytes: log.durableBytes,
    retention: log.durableConfig.retention,
  }
}
