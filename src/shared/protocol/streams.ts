// What the front end and the shards say to each other about streams. The wire shapes of api.md are
// built from these by src/shared/schemas.

export type Durability = 'immediate' | 'group' | 'relaxed'

export type Compression = 'none' | 'lz4' | 'zstd'

/**
 * What is kept at least; older segments go when everything behind them still fulfils it. A bound
 * that is not there keeps everything. Any one bound that is passed lets a segment go.
 */
export type Retention = {
  readonly maxAgeSeconds?: number
  /** Stored bytes, framing included. */
  readonly maxBytes?: number
  readonly maxRecords?: number
}

/** Every option of a stream, defaults filled in. */
export type StreamConfig = {
  readonly durability: Durability
  /** Of bodies, kept only where it makes them smaller. */
  readonly compression: Compression
  readonly maxSegmentBytes: number
  /** Records after which a signed checkpoint is written. */
  readonly checkpointEvery: number
  readonly retention: Retention
}

/** A range of offsets, half-open, that cannot be read or stored; the rest of the stream can. */
export type StreamDamage = {
  readonly stream: string
  /** 32 hex digits */
  readonly streamId: string
  readonly firstOffset: number
  readonly nextOffset: number
  readonly reason: string
}

type StreamState = 'open' | 'closed'

export type StreamInfo = {
  readonly stream: string
  /** 32 hex digits; a stream created again after a delete gets another one */
  readonly streamId: string
  readonly state: StreamState
  readonly firstOffset: number
  readonly nextOffset: number
  /** 64 hex digits: head of the durable chain, checkpoints included; zeros before the first */
  readonly chainHead: string
  /** Stored bytes of all records kept, framing included. */
  readonly recordBytes: number
  readonly segments: number
  /** µs since 1970 */
  readonly createdAt: number
  readonly config: StreamConfig
  /** Damage found since the service started; absent when there is none. */
  readonly damage?: readonly StreamDamage[]
}

/** Names an append for exactly once: the same three again append nothing. */
export type Producer = {
  /** 1 to 128 bytes of UTF-8. */
  readonly id: string
  readonly epoch: number
  /** Counts the appends of an epoch to one stream, from 0. */
  readonly seq: number
}

export type AppendResult = {
  readonly firstOffset: number
  readonly nextOffset: number
  readonly durability: Durability
  /** Whether the records were on stable storage when this was answered. */
  readonly durable: boolean
  /** Whether the producer had sent this batch before: nothing was appended this time. */
  readonly duplicate: boolean
  /** µs since 1970; the records of a batch share it */
  readonly timestamp: number
  /** 32 hex digits */
  readonly streamId: string
  /** 64 hex digits: hash of the batch's last record, the `after` of a read behind it */
  readonly recordHash: string
  /** 64 hex digits: head of the chain after it, a checkpoint that came with it included */
  readonly chainHead: string
}

/** What one stream got from a transaction. */
export type TransactionPart = {
  readonly stream: string
  readonly firstOffset: number
  readonly nextOffset: number
  /** 64 hex digits: head of the chain after it, a checkpoint that came with it included */
  readonly chainHead: string
}

export type TransactionResult = {
  /** 16 hex digits */
  readonly transactionId: string
  /** In the order of the request. */
  readonly appends: readonly TransactionPart[]
}

/** A signed anchor of a stream's chain; it has a place in the chain but no offset of its own. */
export type Checkpoint = {
  readonly stream: string
  /** 32 hex digits */
  readonly streamId: string
  /** It lies before the record of this offset. */
  readonly offset: number
  /** 64 hex digits: chain hash of what lies before it */
  readonly chainHead: string
  /** Records before it since the stream began, trimmed ones included. */
  readonly recordCount: number
  /** µs since 1970 */
  readonly timestamp: number
  /** Where the chain that is kept began when it was signed, and the chain hash before that. */
  readonly trimPoint: { readonly offset: number; readonly chainHead: string }
  /** 64 hex digits: hash of the stream's configuration, closed, first offset and creation time */
  readonly stateHash: string
  /** The change of these that the checkpoint was written with. */
  readonly change: 'none' | 'configure' | 'close' | 'trim'
  /** Ed25519, 128 hex digits; src/shared/format/checkpoint.ts says over what */
  readonly signature: string
  /** 32 hex digits */
  readonly keyId: string
}

export type CheckpointPage = {
  readonly checkpoints: readonly Checkpoint[]
  /** The `from` of the next page; null after the last one. */
  readonly next: number | null
}

/** A key that signed checkpoints, or signs them now. */
export type PublicKey = {
  /** 32 hex digits: the first half of the SHA-256 of the raw public key */
  readonly keyId: string
  readonly algorithm: 'Ed25519'
  /** The 32 raw bytes, 64 hex digits. */
  readonly publicKey: string
  /** Whether new checkpoints are signed with it. */
  readonly active: boolean
}

export type ReadEncoding = 'json' | 'ndjson' | 'sse' | 'batch'
export type ReadVerify = 'none' | 'links' | 'checkpoint' | 'genesis'

export type ReadRequest = {
  readonly from: number | 'start' | 'end'
  readonly direction: 'forward' | 'backward'
  /** Records, at least 1. */
  readonly limit: number
  /** Bodies' bytes, at least 1; never overshot, but a first record is always returned. */
  readonly maxBytes: number
  /** µs since 1970: start at the first record at or after it, instead of at `from`. */
  readonly since?: number
  /** 64 hex digits: the record before `from` must have this hash. */
  readonly after?: string
  readonly verify: ReadVerify
  readonly encoding: ReadEncoding
}

export type ReadPage = {
  /** Offset of the first record returned, or where the read stood when there is none. */
  readonly firstOffset: number
  /** The `from` that continues this read. */
  readonly nextOffset: number
  /** Offset that the stream's next record will get; absent where a refused journal hides it. */
  readonly tailOffset?: number
  readonly closed: boolean
  /** 32 hex digits */
  readonly streamId: string
  /**
   * 64 hex digits: hash of the data record before the offset that the next read goes on at; null
   * where that record is lost.
   */
  readonly lastHash: string | null
  /**
   * Offset of the page's last record, where it is whole and links to the one before, but all that
   * follows it is lost, so that nothing vouches for it.
   */
  readonly unvouched?: number
  /** With verify checkpoint or genesis: records of the page below it are under a signature. */
  readonly signedThrough?: number
  readonly count: number
  /** The records in the encoding asked for (src/shared/format/render.ts). */
  readonly payload: Uint8Array
}

export type VerifyReport = {
  readonly ok: boolean
  readonly verifiedRecords: number
  readonly from: number
  readonly to: number
  readonly chainHead: string
  /** What the check went out from: the first record, a signed checkpoint, or the trim point. */
  readonly anchor: 'genesis' | 'checkpoint' | 'trim'
  readonly failure: { readonly offset: number; readonly reason: string } | null
}

export type ShardStatus = {
  readonly shard: number
  readonly state: 'recovering' | 'ready' | 'disk_full' | 'read_only' | 'failed' | 'stopped'
  /** Why it is not ready, without paths. */
  readonly detail?: string
  /** How its journal is written; `unavailable`: asked for, but it goes through the page cache. */
  readonly directIo?: 'off' | 'on' | 'unavailable'
}
