import { StoreError } from '../../src/shared/errors.ts'
import { compareNames } from '../../src/shared/format/name-order.ts'
import { renderRecords } from '../../src/shared/format/render.ts'
import type {
  AppendResult,
  ReadPage,
  ReadRequest,
  ShardStatus,
  StreamConfig,
  StreamInfo,
  VerifyReport,
} from '../../src/shared/protocol/streams.ts'
import type {
  AppendRequest,
  StreamListener,
  StreamStore,
  StreamSubscription,
} from '../../src/main/store.ts'
import { MemoryStream } from './memory-stream.ts'

export type MemoryStoreOptions = {
  readonly autoCreate?: boolean
  readonly defaults?: StreamConfig
  /** µs since 1970 */
  readonly now?: () => number
}

const DEFAULTS: StreamConfig = { durability: 'group', maxSegmentBytes: 64 * 1024 * 1024 }

/** The in-memory twin of the engine: everything of `StreamStore` but the disk. */
export class MemoryStore implements StreamStore {
  readonly #autoCreate: boolean
  readonly #defaults: StreamConfig
  readonly #now: () => number
  readonly #streams = new Map<string, MemoryStream>()
  #isClosed = false
  /** The next append fails with it. */
  failNextAppend: Error | undefined

  constructor({ autoCreate = true, defaults = DEFAULTS, now }: MemoryStoreOptions = {}) {
    this.#autoCreate = autoCreate
    this.#defaults = defaults
    this.#now = now ?? (() => Date.now() * 1000)
  }

  /** Subscriptions that were not cancelled and have not ended. */
  get watches(): number {
    return [...this.#streams.values()].reduce((sum, { watches }) => sum + watches, 0)
  }

  /** Resolves once some stream is subscribed to. */
  whenWatched(): Promise<void> {
    return until(() => this.watches > 0)
  }

  /** Resolves once no stream is subscribed to. */
  whenUnwatched(): Promise<void> {
    return until(() => this.watches === 0)
  }

  async create(
    name: string,
    config: StreamConfig,
  ): Promise<{ created: boolean; info: StreamInfo }> {
    this.#checkOpen()
    const found = this.#streams.get(name)
    if (found !== undefined) {
      if (found.hasConfig(config)) return { created: false, info: found.info() }
      throw new StoreError('stream_exists', 'the stream has another configuration')
    }
    return { created: true, info: this.#add(name, config).info() }
  }

  async info(name: string): Promise<StreamInfo> {
    return this.#find(name).info()
  }

  async list({ prefix, after, limit }: { prefix: string; after: string; limit: number }) {
    const names = [...this.#streams.keys()]
      .filter(name => name.startsWith(prefix) && compareNames(name, after) > 0)
      .sort(compareNames)
    const page = names.slice(0, limit)
    const streams = page.map(name => this.#find(name).info())
    return { streams, next: names.length > limit ? (page.at(-1) ?? null) : null }
  }

  async configure(name: string, change: Partial<StreamConfig>): Promise<StreamInfo> {
    this.#checkOpen()
    return this.#find(name).configure(change)
  }

  async closeStream(name: string): Promise<StreamInfo> {
    this.#checkOpen()
    return this.#find(name).close()
  }

  async remove(name: string): Promise<void> {
    this.#checkOpen()
    this.#find(name).end('deleted')
    this.#streams.delete(name)
  }

  async append(request: AppendRequest): Promise<AppendResult> {
    try {
      this.#checkOpen()
      const failure = this.failNextAppend
      this.failNextAppend = undefined
      if (failure !== undefined) throw failure
      const found = this.#streams.get(request.stream)
      if (found === undefined && (request.expectedOffset ?? 0) !== 0 && this.#autoCreate) {
        throw new StoreError('offset_mismatch', 'the stream is empty', { nextOffset: 0 })
      }
      const stream =
        found ?? (this.#autoCreate ? this.#add(request.stream) : this.#find(request.stream))
      return stream.append(request, this.#now())
    } catch (error) {
      throw error instanceof StoreError ? error.withOutcome('not_applied') : error
    }
  }

  async barrier(): Promise<void> {
    this.#checkOpen()
  }

  async read(name: string, request: ReadRequest): Promise<ReadPage> {
    const { records, ...page } = this.#find(name).read(request)
    return { ...page, count: records.length, payload: renderRecords(records, request) }
  }

  async verify(name: string, range: { from?: number; to?: number }): Promise<VerifyReport> {
    return this.#find(name).verify(range)
  }

  async subscribe(name: string, listener: StreamListener): Promise<StreamSubscription> {
    return this.#find(name).subscribe(listener)
  }

  status(): ShardStatus[] {
    return [{ shard: 0, state: this.#isClosed ? 'stopped' : 'ready' }]
  }

  /** What a shard does to its streams when it stops. */
  failSubscriptions(): void {
    for (const stream of this.#streams.values()) stream.end('failed')
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.failSubscriptions()
  }

  #add(name: string, config = this.#defaults): MemoryStream {
    const stream = new MemoryStream(name, config, this.#now())
    this.#streams.set(name, stream)
    return stream
  }

  #find(name: string): MemoryStream {
    const stream = this.#streams.get(name)
    if (stream === undefined) throw new StoreError('stream_not_found', 'no such stream')
    return stream
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new StoreError('shutting_down', 'the store is closed')
  }
}

/** Turns of the event loop until a condition holds. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) {
    await new Promise(resolve => {
      setImmediate(resolve)
    })
  }
}
