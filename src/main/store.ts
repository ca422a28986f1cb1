import type {
  AppendResult,
  Checkpoint,
  CheckpointPage,
  Durability,
  Producer,
  PublicKey,
  ReadPage,
  ReadRequest,
  ShardStatus,
  StreamConfig,
  StreamDamage,
  StreamInfo,
  TransactionResult,
  VerifyReport,
} from '../shared/protocol/streams.ts'

export type AppendRequest = {
  readonly stream: string
  /**
   * The records in the batch encoding (src/shared/format/batch.ts), already checked against the
   * limits. Given away: its memory may move to another thread.
   */
  readonly batch: Buffer
  /** Items in `batch`, at least 1. */
  readonly count: number
  /** The offset that the first record must get. */
  readonly expectedOffset?: number | undefined
  /** Instead of the stream's own. */
  readonly durability?: Durability | undefined
  readonly producer?: Producer | undefined
}

/** One stream's share of a transaction. */
export type TransactionAppend = Pick<AppendRequest, 'stream' | 'batch' | 'count' | 'expectedOffset'>

/** Durable records of one stream, following the ones before without a gap. */
export type RecordChunk = {
  readonly firstOffset: number
  readonly nextOffset: number
  /** The records as stored, back to back; null when they are too many to hand over: read them. */
  readonly records: Buffer | null
  /** 64 hex digits: hash of the record before `nextOffset` */
  readonly lastHash: string
}

export type StreamListener = {
  onRecords(chunk: RecordChunk): void
  /** The last call of a subscription. `failed`: the shard stopped; subscribe again later. */
  onEnd(reason: 'closed' | 'deleted' | 'failed'): void
}

export type StreamSubscription = {
  /** The first chunk starts here: everything below was durable when the subscription began. */
  readonly nextOffset: number
  /** 32 hex digits */
  readonly streamId: string
  cancel(): void
}

/**
 * The engine as the front end knows it. Names are valid, and requests within the limits, when they
 * come here. Every method rejects with a StoreError whose code api.md lists; a failed append's has
 * the field `outcome`. Only durable records and streams are ever shown.
 */
export interface StreamStore {
  /** @throws StoreError stream_exists when it exists with another configuration */
  create(stream: string, config: StreamConfig): Promise<{ created: boolean; info: StreamInfo }>
  info(stream: string): Promise<StreamInfo>
  /** Streams in byte order of their names, from the first one that is above `after`. */
  list(query: { prefix: string; after: string; limit: number }): Promise<{
    streams: StreamInfo[]
    next: string | null
  }>
  configure(stream: string, change: Partial<StreamConfig>): Promise<StreamInfo>
  closeStream(stream: string): Promise<StreamInfo>
  remove(stream: string): Promise<void>

  /** Creates the stream first where it does not exist and the service runs with `autoCreate`. */
  append(request: AppendRequest): Promise<AppendResult>
  /**
   * All of them or none, whatever shards they are on; no stream is named twice. Durable when it
   * resolves.
   * @throws StoreError offset_mismatch, stream_closed, ... of the first append that cannot be, with
   * the field `stream`; overloaded when it waited longer than the transaction timeout
   */
  transact(appends: readonly TransactionAppend[]): Promise<TransactionResult>
  /**
   * Drops the records below `before`; their space is freed by whole segments, later.
   * @throws StoreError beyond_end when `before` is above the next offset
   */
  trim(stream: string, before: number): Promise<StreamInfo>
  /** Answers once everything accepted before it is durable, on every shard. */
  barrier(): Promise<void>

  /** @param signal of a client that has gone: what was not begun for it may be refused */
  read(stream: string, request: ReadRequest, signal?: AbortSignal): Promise<ReadPage>
  /**
   * Signs the stream as it is now. Where nothing came since it was last asked for, that one is the
   * answer.
   */
  checkpoint(stream: string): Promise<Checkpoint>
  /** Checkpoints at or above the offset `from`, ascending, about `limit` of them. */
  checkpoints(
    stream: string,
    range: { from: number; limit: number },
    signal?: AbortSignal,
  ): Promise<CheckpointPage>
  /** Every key whose checkpoints may be met. */
  keys(): Promise<PublicKey[]>
  /**
   * Checks the chain over `[from, to)`, from the nearest checkpoint at or below `from`, from the
   * trim point, or from the first record.
   */
  verify(
    stream: string,
    range: { from?: number; to?: number },
    signal?: AbortSignal,
  ): Promise<VerifyReport>
  subscribe(stream: string, listener: StreamListener): Promise<StreamSubscription>

  status(): ShardStatus[]
  /** Ranges of streams known to be damaged, found since the service started. */
  damage(): readonly StreamDamage[]
  /** Refuses new work, makes everything accepted durable, and lets go. Idempotent. */
  close(): Promise<void>
}
