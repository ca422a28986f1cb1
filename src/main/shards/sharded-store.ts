import { crash } from '../../shared/assert.ts'
import { StoreError } from '../../shared/errors.ts'
import { latin1ToHex } from '../../shared/format/bytes.ts'
import { checkCursor, lastHashOf } from '../../shared/format/cursor.ts'
import { compareNames } from '../../shared/format/name-order.ts'
import { isTailOnly, selectFromTail } from '../../shared/format/read-page.ts'
import { pageOf } from '../../shared/format/render.ts'
import type {
  MutationValue,
  ReadPlan,
  ReadRange,
  ShardOpened,
} from '../../shared/protocol/shard.ts'
import type {
  AppendResult,
  Checkpoint,
  CheckpointPage,
  PublicKey,
  ReadPage,
  ReadRequest,
  ShardStatus,
  StreamConfig,
  StreamDamage,
  StreamInfo,
  TransactionResult,
  VerifyReport,
} from '../../shared/protocol/streams.ts'
import type {
  AppendRequest,
  StreamListener,
  StreamStore,
  StreamSubscription,
  TransactionAppend,
} from '../store.ts'
import { shardOf } from '../../shared/format/shard-of.ts'
import { DamageList, damageOf } from './damage-list.ts'
import { JournalComparison } from './journal-comparison.ts'
import { rangeOf, rangeToVerify, wasTrimmed, WHOLE_STREAM } from './read-ranges.ts'
import { type DirectoryOpened, Readers } from './readers.ts'
import { type HeardEvent, ShardClient } from './shard-client.ts'
import type { ShardedStoreOptions } from './store-options.ts'
import { requestRebuild } from './stale-files.ts'
import { type StoreStats, statsOf } from './store-stats.ts'
import { appendResult } from './turn.ts'
import { randomTransactionId, startTimer, Transactions } from './transactions.ts'
import { WaitingLine } from './waiting-line.ts'
import { Watches } from './watches.ts'

/** States in which a shard's engine answers. */
const RUNNING: ReadonlySet<ShardStatus['state']> = new Set(['ready', 'disk_full'])

/** Largest read from memory that the front end renders itself, which costs less than a hop. */
const INLINE_BYTES_MAX = 64 * 1024

/** How many verified reads and checkpoint lists may run at once, and how many may wait. */
const CHAINS_MAX = 4
const CHAINS_WAITING_MAX = 256

/** `StreamStore` over shard threads and reader threads. */
export class ShardedStore implements StreamStore {
  readonly #options: ShardedStoreOptions
  readonly #readers: Readers
  #keyId = ''
  #shards: ShardClient[] = []
  #transactions: Transactions
  readonly #watches: Watches
  readonly #damage = new DamageList()
  /** Limits verified reads and checkpoint lists, because their plans copy much of the tail. */
  readonly #chains = new WaitingLine(CHAINS_MAX, CHAINS_WAITING_MAX)
  #recovered: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined

  private constructor(options: ShardedStoreOptions) {
    this.#options = options
    this.#watches = new Watches(stream => this.#owner(stream))
    this.#transactions = this.#makeTransactions(0)
    this.#readers = new Readers(options.data, options.readers, reason => this.#logDeath(reason))
  }

  /** @throws StoreError invalid_request when the data directory cannot be used */
  static async open(options: ShardedStoreOptions): Promise<ShardedStore> {
    const store = await ShardedStore.start(options)
    await store.recovered
    return store
  }

  /**
   * Opens the data directory and lets its shards recover, on their own threads. Nothing is to be
   * asked of the store before `recovered` has resolved.
   * @throws StoreError invalid_request when the data directory cannot be used
   */
  static async start(options: ShardedStoreOptions): Promise<ShardedStore> {
    const store = new ShardedStore(options)
    const opened = await store.#readers.open(options.shards, options.engine, options.signingKey)
    const { keyId, resharded, mended } = opened
    if (mended.length > 0) options.onMended(mended)
    if (resharded !== undefined) options.onResharded(resharded)
    store.#keyId = keyId
    store.#recovered = store.#recover(opened)
    store.#recovered.catch(() => undefined) // told to whoever awaits `recovered`
    return store
  }

  /** Resolves once every shard is open, or has said why it is not. */
  get recovered(): Promise<void> {
    return this.#recovered
  }

  async #recover({ shards, signingKey }: DirectoryOpened): Promise<void> {
    const transactions = this.#makeTransactions(shards)
    this.#transactions = transactions
    const listener = {
      onEvent: (shard: number, event: HeardEvent) => this.#onEvent(shard, event),
      onOpened: (shard: number, found: ShardOpened) => {
        this.#options.onOpened(shard, found)
        // A shard that waits for room settles its transactions once it is opened.
        if (found.waiting === null) transactions.onOpened(shard, found.transactions)
      },
      onState: (status: ShardStatus) => this.#onState(status),
    }
    const comparison = new JournalComparison(shards)
    this.#shards = await Promise.all(
      Array.from({ length: shards }, (_, shard) =>
        ShardClient.open({ ...this.#options, shard, signingKey, comparison }, listener),
      ),
    )
    const started = transactions.start()
    if (this.#shards.some(({ isWaiting }) => isWaiting)) started.catch(crash)
    else await started
  }

  async create(
    stream: string,
    config: StreamConfig,
  ): Promise<{ created: boolean; info: StreamInfo }> {
    const { value } = await this.#owner(stream).mutate({ kind: 'create', stream, config })
    const { created, info } = value as { created: boolean; info: StreamInfo }
    return { created, info: this.#damage.describe(info) }
  }

  async info(stream: string): Promise<StreamInfo> {
    const info = await this.#owner(stream).query<StreamInfo>({ kind: 'info', stream })
    return this.#damage.describe(info)
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
    const streams = found.slice(0, query.limit).map(info => this.#damage.describe(info))
    const next = found.length > query.limit ? (streams.at(-1)?.stream ?? null) : null
    return { streams, next }
  }

  async configure(stream: string, change: Partial<StreamConfig>): Promise<StreamInfo> {
    return this.#infoOf(await this.#owner(stream).mutate({ kind: 'configure', stream, change }))
  }

  async closeStream(stream: string): Promise<StreamInfo> {
    return this.#infoOf(await this.#owner(stream).mutate({ kind: 'close', stream }))
  }

  async remove(stream: string): Promise<void> {
    await this.#owner(stream).mutate({ kind: 'delete', stream })
    this.#damage.forget(stream)
  }

  async append(request: AppendRequest): Promise<AppendResult> {
    const { stream, batch, count, expectedOffset, durability, producer } = request
    const { length } = batch
    const { value, durable } = await this.#owner(stream).mutate(
      { kind: 'append', stream, at: 0, length, count, expectedOffset, durability, producer },
      batch,
    )
    return appendResult(value as Omit<AppendResult, 'durable'>, durable)
  }

  transact(appends: readonly TransactionAppend[]): Promise<TransactionResult> {
    return this.#transactions.transact(appends)
  }

  async trim(stream: string, before: number): Promise<StreamInfo> {
    return this.#infoOf(await this.#owner(stream).mutate({ kind: 'trim', stream, before }))
  }

  async checkpoint(stream: string): Promise<Checkpoint> {
    const { value } = await this.#owner(stream).mutate({ kind: 'checkpoint', stream })
    return value as Checkpoint
  }

  async checkpoints(
    stream: string,
    { from, limit }: { from: number; limit: number },
    signal?: AbortSignal,
  ): Promise<CheckpointPage> {
    const range: ReadRange = { ...WHOLE_STREAM, checkpoints: { from, limit } }
    return this.#chains.run(async () => {
      const plan = await this.#plan(stream, range)
      return this.#whileTrimmed(stream, range, plan, current =>
        this.#readers.checkpoints(current, from, limit, signal),
      )
    }, signal)
  }

  keys(): Promise<PublicKey[]> {
    return this.#readers.keys(this.#keyId)
  }

  async barrier(): Promise<void> {
    await Promise.all(this.#shards.map(shard => shard.mutate({ kind: 'barrier' })))
  }

  async read(stream: string, request: ReadRequest, signal?: AbortSignal): Promise<ReadPage> {
    const range = rangeOf(request)
    const isChain = range.wholeTail || range.fromCheckpoint
    return isChain
      ? this.#chains.run(() => this.#read(stream, request, range, signal), signal)
      : this.#read(stream, request, range, signal)
  }

  async #read(
    stream: string,
    request: ReadRequest,
    range: ReadRange,
    signal: AbortSignal | undefined,
  ): Promise<ReadPage> {
    const isChain = range.wholeTail || range.fromCheckpoint
    const plan = await this.#plan(stream, range)
    const isSmall = (plan.tail?.records.length ?? 0) <= INLINE_BYTES_MAX
    if (isTailOnly(plan) && isSmall && !isChain) {
      checkCursor(plan, request, () => undefined)
      const selection = selectFromTail(plan, request)
      const lastHash = lastHashOf(plan, selection, request, () => undefined)
      return pageOf(plan, selection, request, { lastHash })
    }
    let last = plan
    const { page, ...stale } = await this.#whileTrimmed(stream, range, plan, current => {
      last = current // a new plan may be for another stream that has the name now
      return this.#readers.read(current, request, signal)
    })
    await requestRebuild(this.#owner(stream), last, stale)
    return page
  }

  async verify(
    stream: string,
    wanted: { from?: number; to?: number },
    signal?: AbortSignal,
  ): Promise<VerifyReport> {
    const range = rangeToVerify(wanted)
    return this.#chains.run(async () => {
      for (let plan = await this.#plan(stream, range); ; ) {
        const report = await this.#readers.verify(plan, plan.low, plan.high, signal)
        if (report.failure === null) return report
        const current = await this.#plan(stream, range)
        if (!wasTrimmed(plan, current)) {
          const { offset: firstOffset, reason } = report.failure
          const nextOffset = firstOffset + 1
          this.#noteDamage({ ...identityOf(plan), firstOffset, nextOffset, reason })
          return report
        }
        plan = current
      }
    }, signal)
  }

  subscribe(stream: string, listener: StreamListener): Promise<StreamSubscription> {
    return this.#watches.add(stream, listener)
  }

  status(): ShardStatus[] {
    return this.#shards.map(shard => shard.status)
  }

  damage(): readonly StreamDamage[] {
    return this.#damage.all()
  }

  /** Numbers for the metrics, one set a shard that runs. */
  async stats(): Promise<StoreStats[]> {
    const running = this.#shards.filter(
      ({ status, isWaiting }) => RUNNING.has(status.state) && !isWaiting,
    )
    return (await Promise.all(running.map(statsOf))).flat()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#recovered.catch(() => undefined) // a start that failed is to be closed all the same
    for (const { isWaiting, status } of this.#shards) {
      if (isWaiting) this.#transactions.onGone(status.shard)
    }
    await this.#transactions.close()
    await Promise.all(this.#shards.map(shard => shard.close()))
    this.#watches.endAll()
    await this.#readers.close()
  }

  #makeTransactions(shards: number): Transactions {
    return new Transactions({
      shards: Array.from({ length: shards }, (_, shard) => ({
        mutate: (mutation, batch) => (this.#shards[shard] as ShardClient).mutate(mutation, batch),
      })),
      shardOf: stream => shardOf(stream, shards),
      timeoutMs: this.#options.transactionTimeoutMs,
      timer: startTimer,
      randomId: randomTransactionId,
    })
  }

  #onState(status: ShardStatus): void {
    const { shard, state } = status
    if (state === 'recovering') this.#transactions.onDied(shard)
    if (state === 'failed' || state === 'read_only') this.#transactions.onGone(shard)
    if (state === 'recovering' || state === 'failed') this.#watches.endShard(shard)
    this.#options.onState(status)
  }

  #owner(stream: string): ShardClient {
    return this.#shards[shardOf(stream, this.#shards.length)] as ShardClient
  }

  #plan(stream: string, range: ReadRange): Promise<ReadPlan> {
    return this.#owner(stream).query<ReadPlan>({ kind: 'plan', stream, range })
  }

  /**
   * Reads by a plan, and plans again if a trim removed a segment meanwhile.
   * @throws StoreError trimmed, or the failure of the read if nothing was trimmed
   */
  async #whileTrimmed<Answer>(
    stream: string,
    range: ReadRange,
    first: ReadPlan,
    read: (plan: ReadPlan) => Promise<Answer>,
  ): Promise<Answer> {
    for (let plan = first; ; ) {
      try {
        return await read(plan)
      } catch (error) {
        if (!(error instanceof StoreError) || error.code !== 'corrupt_record') throw error
        const current = await this.#plan(stream, range)
        if (!wasTrimmed(plan, current)) {
          this.#noteDamage(damageOf(identityOf(plan), error))
          throw error
        }
        plan = current
      }
    }
  }

  #infoOf(result: { readonly value: MutationValue }): StreamInfo {
    const { info } = result.value as { info: StreamInfo }
    this.#damage.forgetBelow(info.streamId, info.firstOffset)
    return this.#damage.describe(info)
  }

  #noteDamage(damage: StreamDamage): void {
    if (!this.#damage.note(damage)) return
    const { stream, reason, ...range } = damage
    const fields = { stream, ...range, reason }
    const message = 'part of a stream cannot be read or stored'
    this.#options.onLog(shardOf(stream, this.#shards.length), {
      kind: 'log',
      level: 'error',
      message,
      fields,
    })
  }

  #logDeath(reason: string): void {
    const message = 'a reader thread died; its requests are tried once more'
    this.#options.onLog(undefined, { kind: 'log', level: 'error', message, fields: { reason } })
  }

  #onEvent(shard: number, event: HeardEvent): void {
    if (event.kind === 'log') this.#options.onLog(shard, event)
    else if (event.kind === 'damage') this.#noteDamage(event.damage)
    else if (event.kind === 'unwritten') this.#damage.setUnwritten(shard, event.damage)
    else if (event.kind !== 'state') this.#watches.onEvent(event)
  }
}

function identityOf({ stream, streamId }: ReadPlan): Pick<StreamDamage, 'stream' | 'streamId'> {
  return { stream, streamId: latin1ToHex(streamId) }
}
