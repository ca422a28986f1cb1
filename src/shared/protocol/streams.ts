// What the front end and the shards say to each other about streams. The wire shapes of api.md are
// built from these by src/shared/schemas.

export type Durability = 'immediate' | 'group' | 'relaxed'

/** Every option of a stream, defaults filled in. */
export type StreamConfig = {
  readonly durability: Durability
  readonly maxSegmentBytes: number
}

type StreamState = 'open' | 'closed'

export type StreamInfo = {
  readonly stream: string
  /** 32 hex digits; a stream created again after a delete gets another one */
  readonly streamId: string
  readonly state: StreamState
  readonly firstOffset: number
  readonly nextOffset: number
  /** 64 hex digits: chain hash of the last durable record, zeros before the first */
  readonly chainHead: string
  /** Stored bytes of all records kept, framing included. */
  readonly recordBytes: number
  readonly segments: number
  /** µs since 1970 */
  readonly createdAt: number
  readonly config: StreamConfig
}

export type AppendResult = {
  readonly firstOffset: number
  readonly nextOffset: number
  readonly durability: Durability
  /** Whether the records were on stable storage when this was answered. */
  readonly durable: boolean
  /** µs since 1970; the records of a batch share it */
  readonly timestamp: number
  /** 64 hex digits: chain hash of the batch's last record */
  readonly chainHead: string
}

export type ReadEncoding = 'json' | 'ndjson' | 'sse' | 'batch'
export type ReadVerify = 'none' | 'links' | 'genesis'

export type ReadRequest = {
  readonly from: number | 'start' | 'end'
  readonly direction: 'forward' | 'backward'
  /** Records, at least 1. */
  readonly limit: number
  /** Bodies' bytes, at least 1; never overshot, but a first record is always returned. */
  readonly maxBytes: number
  /** µs since 1970: start at the first record at or after it, instead of at `from`. */
  readonly since?: number
  readonly verify: ReadVerify
  readonly encoding: ReadEncoding
}

export type ReadPage = {
  /** Offset of the first record returned, or where the read stood when there is none. */
  readonly firstOffset: number
  /** The `from` that continues this read. */
  readonly nextOffset: number
  /** Offset that the stream's next record will get. */
  readonly tailOffset: number
  readonly closed: boolean
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
  readonly anchor: 'genesis'
  readonly failure: { readonly offset: number; readonly reason: string } | null
}

export type ShardStatus = {
  readonly shard: number
  readonly state: 'recovering' | 'ready' | 'disk_full' | 'read_only' | 'failed' | 'stopped'
  /** Why it is not ready, without paths. */
  readonly detail?: string
}
