import { StoreError } from '../../shared/errors.ts'
import type { ReadPlan, ReadRange } from '../../shared/protocol/shard.ts'
import type { StreamInfo } from '../../shared/protocol/streams.ts'
import type { StreamLog } from '../streams/stream-log.ts'
import { existing, type StreamTable } from '../streams/stream-table.ts'
import { planRead } from './read-planner.ts'
import type { WatchStart } from './watchers.ts'

/** Answers questions about the streams of a shard, from durable records only. */
export class VisibleStreams {
  readonly #table: StreamTable

  constructor(table: StreamTable) {
    this.#table = table
  }

  /** @throws StoreError stream_not_found, trimmed or beyond_end */
  plan(stream: string, range: ReadRange): ReadPlan {
    return planRead(this.#table.durable(stream), range)
  }

  /** @throws StoreError stream_not_found */
  info(stream: string): StreamInfo {
    return existing(this.#table.durable(stream)).info()
  }

  list(prefix: string, after: string, limit: number): StreamInfo[] {
    return this.#table.list(prefix, after, limit)
  }

  /** Where a watch of the stream begins. @throws StoreError stream_not_found */
  end(stream: string): WatchStart {
    const { durableNextOffset: nextOffset, id: streamId } = existing(this.#table.durable(stream))
    return { nextOffset, streamId }
  }
}

/**
 * Answers questions about the streams of a shard whose journal was refused, from the catalogue and
 * the segments, or whose catalogue was lost, from the segments and the journal. The lost part may
 * hold records, a close or a delete of any stream, and streams that are not known at all. So only
 * reads below a stream's known end are answered. All else is shard_failed with the known end, never
 * a missing stream, an end or an empty page.
 */
export class IncompleteStreams {
  readonly #table: StreamTable

  constructor(table: StreamTable) {
    this.#table = table
  }

  /**
   * Plans a read whose records all lie below the known end of the stream. Its page names no end: a
   * client that reads as far as the known end would take that for the end of the stream.
   * @throws StoreError shard_failed with `knownNextOffset`, trimmed
   */
  plan(stream: string, range: ReadRange): ReadPlan {
    const log = this.#table.durable(stream)
    if (log !== undefined && isBelow(range, log)) {
      return { ...planRead(log, range), isEndUnknown: true }
    }
    throw mayBeMore(log)
  }

  /** @throws StoreError shard_failed */
  info(stream: string): never {
    throw mayBeMore(this.#table.durable(stream))
  }

  /** @throws StoreError shard_failed */
  list(): never {
    throw mayBeMore(undefined)
  }

  /** @throws StoreError shard_failed */
  end(stream: string): never {
    throw mayBeMore(this.#table.durable(stream))
  }
}

function mayBeMore(log: StreamLog | undefined): StoreError {
  const lost = 'part of the journal or the catalogue of this shard is missing'
  const next = 'repair the data directory with: varve repair'
  if (log === undefined) {
    return new StoreError('shard_failed', `${lost}, and there may be more streams; ${next}`)
  }
  const knownNextOffset = log.durableNextOffset
  const known = `the stream is known up to offset ${knownNextOffset}`
  return new StoreError('shard_failed', `${lost}: ${known}; ${next}`, { knownNextOffset })
}

function isBelow({ from, direction, limit, since, below }: ReadRange, log: StreamLog): boolean {
  const known = log.durableNextOffset
  if (below !== undefined) return below <= known
  if (since !== undefined || from === 'end') return false
  const first = from === 'start' ? log.durableFirstOffset : from
  return (direction === 'forward' ? first + limit : first) <= known
}
