import { randomBytes } from 'node:crypto'
import { STREAM_CONFIG_DEFAULT } from '../../src/shared/limits.ts'
import { StoreError } from '../../src/shared/errors.ts'
import { latin1ToHex } from '../../src/shared/format/bytes.ts'
import { compareNames } from '../../src/shared/format/name-order.ts'
import { renderRecords } from '../../src/shared/format/render.ts'
import type {
  AppendResult,
  Checkpoint,
  PublicKey,
  ReadPage,
  ReadRequest,
  ShardStatus,
  StreamConfig,
  StreamDamage,
  StreamInfo,
  TransactionResult,
  VerifyReport,
} from '../../src/shared/protocol/streams.ts'
import { Signer } from '../../src/shared/signing.ts'
import type {
  AppendRequest,
  StreamListener,
  StreamStore,
  StreamSubscription,
  TransactionAppend,
} from '../../src/main/store.ts'
import { MemoryStream } from './memory-stream.ts'

export type MemoryStoreOptions = {
  readonly autoCreate?: boolean
  readonly defaults?: StreamConfig
  /** µs since 1970 */
  readonly now?: () => number
}

/** The in-memory twin of the engine: everything of `StreamStore` but the disk. */
export class MemoryStore implements StreamStore {
  readonly #autoCreate: boolean
  readonly #defaults: StreamConfig
  readonly #now: () => number
  readonly #signer = Signer.fromSeed(randomBytes(32).toString('latin1'))
  readonly #streams = new Map<string, MemoryStream>()
  #isClosed = false
  /** The next append or transaction fails with it. */
  failNextAppend: Error | undefined
  /** What `damage` returns. */
  damaged: readonly StreamDamage[] = []

  constructor({
    autoCreate = true,
    defaults = STREAM_CONFIG_DEFAULT,
    now,
  }: MemoryStoreOptions = {}) {
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
    return this.#find(name).configure(change, this.#now())
  }

  async closeStream(name: string): Promise<StreamInfo> {
    this.#checkOpen()
    return this.#find(name).close(this.#now())
  }

  async remove(name: string): Promise<void> {
    this.#checkOpen()
    this.#find(name).end('deleted')
    this.#streams.delete(name)
  }

  async append(request: AppendRequest): Promise<AppendResult> {
    return refusing(() => {
      this.#takeFailure()
      const found = this.#streams.get(request.stream)
      if (found !== undefined) return found.append(request, this.#now())
      // Tried on a stream that goes unless the append is accepted.
      const stream = this.#make(request.stream)
      const result = stream.append(request, this.#now())
      this.#streams.set(request.stream, stream)
      return result
    })
  }

  async transact(appends: readonly TransactionAppend[]): Promise<TransactionResult> {
    return refusing(() => {
      this.#takeFailure()
      for (const append of appends) this.#checkPart(append)
      const parts = appends.map(append => {
        const stream = this.#streams.get(append.stream) ?? this.#add(append.stream)
        const { firstOffset, nextOffset, chainHead } = stream.append(append, this.#now())
        return { stream: append.stream, firstOffset, nextOffset, chainHead }
      })
      return { transactionId: randomBytes(8).toString('hex'), appends: parts }
    })
  }

  async trim(name: string, before: number): Promise<StreamInfo> {
    this.#checkOpen()
    return this.#find(name).trim(before, this.#now())
  }

  async checkpoint(name: string): Promise<Checkpoint> {
    this.#checkOpen()
    return this.#find(name).checkpoint(this.#now())
  }

  async checkpoints(name: string, range: { from: number; limit: number }) {
    return this.#find(name).checkpoints(range)
  }

  async keys(): Promise<PublicKey[]> {
    const { keyId, publicKey } = this.#signer
    return [
      {
        keyId: latin1ToHex(keyId),
        algorithm: 'Ed25519',
        publicKey: latin1ToHex(publicKey),
        active: true,
      },
    ]
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

  damage(): readonly StreamDamage[] {
    return this.damaged
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
    const stream = new MemoryStream(name, config, this.#now(), this.#signer)
    this.#streams.set(name, stream)
    return stream
  }

  /** A stream that an append creates, not yet among the others. */
  #make(name: string): MemoryStream {
    if (!this.#autoCreate) throw new StoreError('stream_not_found', 'no such stream')
    return new MemoryStream(name, this.#defaults, this.#now(), this.#signer)
  }

  #checkPart(append: TransactionAppend): void {
    const { stream } = append
    try {
      const found = this.#streams.get(stream) ?? this.#make(stream)
      found.check(append)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      throw new StoreError(error.code, error.message, { ...error.fields, stream })
    }
  }

  #takeFailure(): void {
    this.#checkOpen()
    const failure = this.failNextAppend
    this.failNextAppend = undefined
    if (failure !== undefined) throw failure
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

/** Nothing of what is refused here was applied. */
function refusing<Result>(run: () => Result): Result {
  try {
    return run()
  } catch (error) {
    throw error instanceof StoreError ? error.withOutcome('not_applied') : error
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
