import type { TrimStats } from '../../shared/protocol/shard.ts'
import type { StreamLog } from '../streams/stream-log.ts'

export type TrimCause = 'request' | 'retention'

/** Counts what trims let go of, by what asked for them, for the metrics. */
export class TrimCounts {
  readonly #records = { request: 0, retention: 0 }
  readonly #bytes = { request: 0, retention: 0 }
  readonly #causes = new WeakMap<StreamLog, TrimCause>()
  #segments = 0

  noteTrimmed(log: StreamLog, records: number, cause: TrimCause): void {
    this.#records[cause] += records
    this.#causes.set(log, cause)
  }

  /** Bytes of whole segments, which count for the last trim of their stream. */
  noteFreed(log: StreamLog, bytes: number): void {
    this.#bytes[this.#causes.get(log) ?? 'request'] += bytes
  }

  noteRemoved(segments: number): void {
    this.#segments += segments
  }

  get stats(): TrimStats {
    return {
      trimmedRecords: this.#records.request,
      trimmedBytes: this.#bytes.request,
      retentionRecords: this.#records.retention,
      retentionBytes: this.#bytes.retention,
      removedSegments: this.#segments,
    }
  }
}
