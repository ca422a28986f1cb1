import { Piscina } from 'piscina'
import { StoreError } from '../../shared/errors.ts'
import { compareNames } from '../../shared/format/name-order.ts'
import { isTailOnly, selectFromTail } from '../../shared/format/read-page.ts'
import { renderRecords } from '../../shared/format/render.ts'
import type { ReaderReply, ReaderRequest } from '../../shared/protocol/reader.ts'
import type {
  MutationValue,
  ReadPlan,
  ReadRange,
  ShardEvent,
  ShardOpened,
  ShardOptions,
  ShardStats,
} from '../../shared/protocol/shard.ts'
import type {
  AppendResult,
  ReadPage,
  ReadRequest,
  ShardStatus,
  StreamConfig,
  StreamInfo,
  VerifyReport,
} from '../../shared/protocol/streams.ts'
import type { AppendRequest, StreamListener, StreamStore, StreamSubscription } from '../store.ts'
import { shardOf } from './router.ts'
import type { FlushCounters } from './durable-waits.ts'
import { ShardClient } from './shard-client.ts'
import { Watches } from './watches.ts'

export type ShardedStoreOptions = {
  readonly data: string
  /** Undefined: what the directory has, or 1 for a new one. */
  readonly shards: number | undefined
  readonly readers: number
  readonly inFlightBytesMax: number
  readonly engine: ShardOptions
  readonly onLog: (shard: number, event: Extract<ShardEvent, { kind: 'log' }>) => void
  readonly onOpened: (shard: number, opened: ShardOpened) => void
  readonly onState: (status: ShardStatus) => void
}

export type StoreStats = ShardStats &
  FlushCounters & { readonly shard: number; readonly inFlightBytes: number }

/** States in which a shard's engine answers. */
const RUNNING: ReadonlySet<ShardStatus['state']> = new Set(['ready', 'disk_full'])

/** Bytes of a read from memory alone that the front end renders itself: less work than a hop. */
const INLINE_BYTES_MAX = 64 * 1024

/** `StreamStore` over shard threads and reader threads. */
export class ShardedStore implements StreamStore {
  readonly #options: ShardedStoreOptions
  readonly #readers: Piscina
  #shards: ShardClient[] = []
  readonly #watches: Watches
  #closing: Promise<void> | undefined

  private constructor(options: ShardedStoreOptions) {
    this.#options = options
    this.#watches = new Watches(stream => this.#owner(stream))
    this.#readers = new Piscina({
      filename: new URL('../../workers/reader.js', import.meta.url).href,
      minThreads: options.readers,
      maxThreads: options.readers,
      atomics: 'disabled',
    })
  }

  /** @throws StoreError invalid_request when the data directory cannot be used */
  static async open(options: ShardedStoreOptions): Promise<ShardedStore> {
    const store = new ShardedStore(options)
    const { data, shards } = options
    const opened = await store.#read({ kind: 'open', data, shards })
    const count = opened.kind === 'opened' ? opened.shards : 0
    const listener = {
      onEvent: (shard: number, event: ShardEvent) => store.#onEvent(shard, event),
      onOpened: options.onOpened,
      onState: options.onState,
    }
    store.#shards = await Promise.all(
      Array.from({ length: count }, (_, shard) =>
        ShardClient.open({ shard, ...options }, listener),
      ),
    )
    return store
  }

  async create(
    stream: string,
    config: StreamConfig,
  ): Promise<{ created: boolean; info: StreamInfo }> {
    const { value } = await this.#owner(stream).mutate({ kind: 'create', stream, config })
    return value as { created: boolean; info: StreamInfo }
  }

  info(stream: string): Promise<StreamInfo> {
    return this.#owner(stream).query({ kind: 'info', stream })
  }

  async list(query: {
    prefix: string
    after: string
    limit: number
  }): Promise<{ streams: StreamInfo[]; next: string | null }> {
    const limit = query.limit + 1
    const pages = await Promise.all(
      this.#shards.map(shard => shard.query<StreamInfo[]>({ kind: 'list', ...query, limit })),
    )
    const found = pages.flat().sort((left, right) => compareNames(left.stream, right.stream))
    const streams = found.slice(0, query.limit)
    const next = found.length > query.limit ? (streams.at(-1)?.stream ?? null) : null
    return { streams, next }
  }

  async configure(stream: string, change: Partial<StreamConfig>): Promise<StreamInfo> {
    return infoOf(await this.#owner(stream).mutate({ kind: 'configure', stream, change }))
  }

  async closeStream(stream: string): Promise<StreamInfo> {
    return infoOf(await this.#owner(stream).mutate({ kind: 'close', stream }))
  }

  async remove(stream: string): Promise<void> {
    await this.#owner(stream).mutate({ kind: 'delete', stream })
  }

  async append(request: AppendRequest): Promise<AppendResult> {
    const { stream, batch, count, expectedOffset, durability } = request
    const { value, durable } = await this.#owner(stream).mutate(
      { kind: 'append', stream, at: 0, length: batch.length, count, expectedOffset, durability },
      batch,
    )
    return { ...(value as Omit<AppendResult, 'durable'>), durable }
  }

  async barrier(): Promise<void> {
    await Promise.all(this.#shards.map(shard => shard.mutate({ kind: 'barrier' })))
  }

  async read(stream: string, request: ReadRequest): Promise<ReadPage> {
    const range: ReadRange = {
      from: request.from,
      direction: request.direction,
      limit: request.limit,
      maxBytes: request.maxBytes,
      since: request.since,
      wholeTail: request.verify === 'genesis',
    }
    const plan = await this.#owner(stream).query<ReadPlan>({ kind: 'plan', stream, range })
    const isSmall = (plan.tail?.records.length ?? 0) <= INLINE_BYTES_MAX
    if (isTailOnly(plan) && isSmall && request.verify !== 'genesis') {
      const { records, firstOffset, nextOffset } = selectFromTail(plan, request)
      const payload = renderRecords(records, request)
      const { nextOffset: tailOffset, closed } = plan
      return { firstOffset, nextOffset, tailOffset, closed, count: records.length, payload }
    }
    const { data } = this.#options
    const reply = await this.#read({ kind: 'read', data, plan, request })
    if (reply.kind !== 'page') throw new StoreError('internal', 'a read answers with a page')
    if (reply.staleIndex !== undefined) {
      await this.#owner(stream).query({ kind: 'reindex', stream, ...reply.staleIndex })
    }
    return reply.page
  }

  async verify(stream: string, range: { from?: number; to?: number }): Promise<VerifyReport> {
    const plan = await this.#owner(stream).query<ReadPlan>({
      kind: 'plan',
      stream,
      range: {
        from: 'start',
        direction: 'forward',
        limit: Number.MAX_SAFE_INTEGER,
        maxBytes: Number.MAX_SAFE_INTEGER,
        since: undefined,
        wholeTail: true,
      },
    })
    const to = Math.min(range.to ?? plan.nextOffset, plan.nextOffset)
    const from = Math.max(range.from ?? plan.firstOffset, plan.firstOffset)
    const { data } = this.#options
    const reply = await this.#read({ kind: 'verify', data, plan, from: Math.min(from, to), to })
    if (reply.kind !== 'verified')
      throw new StoreError('internal', 'a verify answers with a report')
    return reply.report
  }

  subscribe(stream: string, listener: StreamListener): Promise<StreamSubscription> {
    return this.#watches.add(stream, listener)
  }

  status(): ShardStatus[] {
    return this.#shards.map(shard => shard.status)
  }

  /** Numbers for the metrics, one set a shard that runs. */
  async stats(): Promise<StoreStats[]> {
    const running = this.#shards.filter(({ status }) => RUNNING.has(status.state))
    return Promise.all(
      running.map(async client => ({
        ...(await client.query<ShardStats>({ kind: 'stats' })),
        ...client.flushCounters,
        shard: client.status.shard,
        inFlightBytes: client.inFlightBytes,
      })),
    )
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await Promise.all(this.#shards.map(shard => shard.close()))
    this.#watches.endAll()
    await this.#readers.destroy()
  }

  #owner(stream: string): ShardClient {
    return this.#shards[shardOf(stream, this.#shards.length)] as ShardClient
  }

  async #read(request: ReaderRequest): Promise<Exclude<ReaderReply, { kind: 'error' }>> {
    const reply = (await this.#readers.run(request)) as ReaderReply
    if (reply.kind === 'error') throw StoreError.fromPlain(reply.error)
    return reply
  }

  #onEvent(shard: number, event: ShardEvent): void {
    if (event.kind === 'log') this.#options.onLog(shard, event)
    else if (event.kind !== 'state') this.#watches.onEvent(event)
    else if (event.state === 'failed') this.#watches.endShard(shard)
  }
}

function infoOf(result: { readonly value: MutationValue }): StreamInfo {
  return (result.value as { info: StreamInfo }).info
}
