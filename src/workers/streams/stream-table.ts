import { StoreError } from '../../shared/errors.ts'
import { compareNames } from '../../shared/format/name-order.ts'
import type { StreamInfo } from '../../shared/protocol/streams.ts'
import type { PublicKeys } from './checkpoint-check.ts'
import { hashFault, signatureFault } from './stream-binding.ts'
import type { StreamLog } from './stream-log.ts'

/** Most signatures that one listing checks; each takes about 0.1 ms of the shard's thread. */
const LISTED_JUDGED_MAX = 64

/**
 * The streams of a shard under two views: `assigned`, which the appender works on, and `durable`,
 * which readers see. A stream that was deleted and created again is two streams for a while.
 */
export class StreamTable {
  readonly #assigned = new Map<string, StreamLog>()
  readonly #durable = new Map<string, StreamLog>()
  readonly #byId = new Map<string, StreamLog>()
  /** Names in byte order, as of the last listing, and those that came since. */
  #sorted: string[] = []
  #unsorted: string[] = []

  /** Streams that pending transactions will create, once they are committed. */
  #promised = 0
  #keys: PublicKeys | undefined
  #onFault: (log: StreamLog) => void = () => undefined

  get size(): number {
    return this.#assigned.size
  }

  /** Keeps room for streams of a pending transaction; `count` is negative to give it back. */
  promise(count: number): void {
    this.#promised += count
  }

  /** @throws StoreError corrupt_record if the stream's name or state is not what was signed */
  assigned(name: string): StreamLog | undefined {
    return this.#bound(this.#assigned.get(name))
  }

  /** @throws StoreError corrupt_record if the stream's name or state is not what was signed */
  durable(name: string): StreamLog | undefined {
    return this.#bound(this.#durable.get(name))
  }

  /**
   * Compares every stream's name and state with the hashes. Signatures are checked when a stream is
   * first used or listed, because checking all of them would delay a start.
   */
  judge(): void {
    for (const log of this.all()) {
      const fault = hashFault(log.claim)
      const isDone = fault !== undefined || log.stateCheckpoint === ''
      log.fault = isDone ? described(fault) : undefined
    }
  }

  /**
   * Sets the keys, so that signatures are checked from now on.
   * @param onFault called with a stream that turns out to be altered at its first use
   */
  trust(keys: PublicKeys, onFault: (log: StreamLog) => void): void {
    this.#keys = keys
    this.#onFault = onFault
  }

  /** Those that readers see. */
  all(): Iterable<StreamLog> {
    return this.#durable.values()
  }

  byId(id: string): StreamLog | undefined {
    return this.#byId.get(id)
  }

  /**
   * @param others streams that come with it, before it
   * @throws StoreError stream_not_found, too_many_requests where no stream may be made
   */
  checkMayCreate(options: { autoCreate: boolean; streamsMax: number }, others = 0): void {
    if (!options.autoCreate) throw new StoreError('stream_not_found', 'there is no such stream')
    const streams = this.size + this.#promised + others
    if (streams < options.streamsMax) return
    throw new StoreError('too_many_requests', `there are ${streams} streams, the most allowed`)
  }

  /** Takes a new stream; readers do not see it yet. */
  assign(log: StreamLog): void {
    this.#assigned.set(log.name, log)
    this.#byId.set(log.id, log)
  }

  /** Takes a stream's name away; readers still see it. */
  unassign(log: StreamLog): void {
    if (this.#assigned.get(log.name) === log) this.#assigned.delete(log.name)
  }

  makeDurable(log: StreamLog): void {
    if (!this.#durable.has(log.name)) this.#unsorted.push(log.name)
    this.#durable.set(log.name, log)
  }

  remove(log: StreamLog): void {
    this.#byId.delete(log.id)
    if (this.#durable.get(log.name) === log) this.#durable.delete(log.name)
  }

  /**
   * Durable streams above `after` whose names start with `prefix`, in byte order, at most `limit`.
   * Those that are altered are listed too; the service names the damage beside them.
   */
  list(prefix: string, after: string, limit: number): StreamInfo[] {
    this.#sort()
    const found: StreamInfo[] = []
    let judged = 0
    const first = compareNames(prefix, after) > 0 ? prefix : after
    let previous: string | undefined
    for (let at = this.#lowerBound(first); at < this.#sorted.length; at += 1) {
      const name = this.#sorted[at] as string
      if (found.length === limit || !name.startsWith(prefix)) break
      const log = this.#durable.get(name)
      if (log === undefined || name === previous || name === after) continue
      if (log.fault === undefined && judged < LISTED_JUDGED_MAX) {
        judged += 1
        this.#judgeOne(log)
      }
      found.push(log.info())
      previous = name
    }
    return found
  }

  /**
   * Refuses a stream whose name or state is not what was signed, so that nothing is read from it,
   * added or removed. @throws StoreError corrupt_record
   */
  #bound(log: StreamLog | undefined): StreamLog | undefined {
    if (log === undefined || log.fault === null) return log
    if (log.fault === undefined) this.#judgeOne(log)
    if (log.fault === null) return log
    throw new StoreError('corrupt_record', log.fault ?? '', {
      firstCorruptOffset: log.durableFirstOffset,
      nextReadableOffset: log.durableNextOffset,
    })
  }

  #judgeOne(log: StreamLog): void {
    const { claim } = log
    const keys = this.#keys
    log.fault = described(hashFault(claim) ?? (keys && signatureFault(claim, keys)))
    if (log.fault !== null) this.#onFault(log)
  }

  #sort(): void {
    if (this.#unsorted.length === 0) return
    const names = this.#sorted.filter(name => this.#durable.has(name)).concat(this.#unsorted)
    this.#sorted = names.sort(compareNames) // a merge of two runs: the sort is adaptive
    this.#unsorted = []
  }

  #lowerBound(name: string): number {
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareNames(this.#sorted[middle] as string, name) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Returns the detail that a client gets; null without a fault. */
function described(fault: string | undefined): string | null {
  if (fault === undefined) return null
  return (
    `${fault}: the catalogue or the journal was changed. ` +
    'Run varve verify, and restore the data directory from a copy'
  )
}

/** @throws StoreError stream_not_found */
export function existing(log: StreamLog | undefined): StreamLog {
  if (log === undefined) throw new StoreError('stream_not_found', 'there is no such stream')
  return log
}
