import type { PlainError } from '../errors.ts'
import type { AppendResult, Durability, StreamConfig, StreamInfo } from './streams.ts'

// Every message between the front end and a shard thread. Requests are Piscina tasks; events come
// over a port of their own, which travels with `open`.

/** A change to streams. Mutations of one task, and of one task after the other, apply in order. */
export type Mutation =
  | {
      readonly kind: 'append'
      readonly stream: string
      /**
       * The batch's bytes, `[at, at + length)` of the task's; at least CHAIN_PREFIX_BYTES lie
       * before.
       */
      readonly at: number
      readonly length: number
      readonly count: number
      readonly expectedOffset: number | undefined
      readonly durability: Durability | undefined
    }
  | { readonly kind: 'create'; readonly stream: string; readonly config: StreamConfig }
  | { readonly kind: 'configure'; readonly stream: string; readonly change: Partial<StreamConfig> }
  | { readonly kind: 'close' | 'delete'; readonly stream: string }
  | { readonly kind: 'barrier' }

/** What an accepted mutation leads to, once it is durable. */
export type MutationValue =
  | Omit<AppendResult, 'durable'>
  | { readonly created: boolean; readonly info: StreamInfo }
  | { readonly info: StreamInfo }
  | null

export type MutationResult =
  | {
      readonly value: MutationValue
      /** To be answered once the durable LSN has reached this many pages, modulo 2^32. */
      readonly pages: number
      /** Answer at once: relaxed durability. */
      readonly relaxed: boolean
    }
  | { readonly error: PlainError }

/** What the engine of a shard needs to know; sizes in bytes, times in ms. */
export type ShardOptions = {
  readonly slotBytes: number
  readonly journalFileBytes: number
  readonly journalBytesMax: number
  readonly checkpointIntervalMs: number
  readonly flushDelayMs: number
  /** 0: no bound. */
  readonly flushOperationsMax: number
  readonly relaxedFlushMs: number
  readonly diskReserveBytes: number
  readonly stallMs: number
  readonly streamsMax: number
  readonly autoCreate: boolean
  /** Of streams that are created without one. */
  readonly defaultConfig: StreamConfig
}

export type ReadRange = {
  readonly from: number | 'start' | 'end'
  readonly direction: 'forward' | 'backward'
  readonly limit: number
  readonly maxBytes: number
  readonly since: number | undefined
  /** Take all of the tail below the range's end, so that a chain from the first record has it. */
  readonly wholeTail: boolean
}

/** Where the records of a read are, as of one moment. */
export type ReadPlan = {
  readonly stream: string
  /** 16 bytes as latin1 */
  readonly streamId: string
  readonly closed: boolean
  readonly firstOffset: number
  /** Durable end of the stream, and the chain hash there (latin1). */
  readonly nextOffset: number
  readonly chainHead: string
  /**
   * Offsets to read, `[low, high)`. Where `since` is set the reader looks for it in the segments
   * and reads at most `limit` records from there.
   */
  readonly low: number
  readonly high: number
  readonly since: number | undefined
  /** Records below this offset are in segments, ending in the active one. */
  readonly stored: {
    readonly nextOffset: number
    readonly chainHead: string
    readonly segment: number
    readonly segmentFirstOffset: number
    readonly segmentBytes: number
  }
  /** Whole appends from memory that follow one another, the chain hash before them known. */
  readonly tail: {
    readonly firstOffset: number
    readonly previousHash: string
    readonly records: Uint8Array
  } | null
}

export type ShardRequest =
  | {
      readonly kind: 'open'
      readonly data: string
      readonly shard: number
      readonly options: ShardOptions
      readonly events: MessagePort
    }
  | {
      readonly kind: 'mutate'
      readonly mutations: readonly Mutation[]
      readonly bytes: Uint8Array
    }
  | { readonly kind: 'plan'; readonly stream: string; readonly range: ReadRange }
  | { readonly kind: 'info'; readonly stream: string }
  | {
      readonly kind: 'list'
      readonly prefix: string
      readonly after: string
      readonly limit: number
    }
  | { readonly kind: 'watch'; readonly stream: string; readonly watch: number }
  | { readonly kind: 'unwatch'; readonly watch: number }
  | {
      readonly kind: 'reindex'
      readonly stream: string
      readonly segment: number
      readonly bytes: number
    }
  | { readonly kind: 'stats' }
  | { readonly kind: 'stop' }

/** What recovery did at the last start of a shard; for the log. */
export type RecoveryReport = {
  readonly streams: number
  readonly blocks: number
  readonly frames: number
  readonly records: number
  readonly bytes: number
  /** Bytes of an unfinished block that were cut, and kept in quarantine. */
  readonly cutBytes: number
  readonly epoch: number
  readonly milliseconds: number
}

export type ShardOpened = {
  readonly memory: WebAssembly.Memory
  readonly report: RecoveryReport | null
  /** Why the journal was refused; the shard then only reads. */
  readonly refused: string | null
}

export type ShardStats = {
  readonly streams: number
  readonly queuedMutations: number
  readonly tailBytes: number
  readonly journalBytes: number
  readonly checkpoints: number
  readonly appendedRecords: number
  readonly appendedBytes: number
}

/** Answer to a request that is not a mutation. */
export type ShardReply<Value> = { readonly value: Value } | { readonly error: PlainError }

export type ShardEvent =
  | {
      readonly kind: 'records'
      readonly watch: number
      readonly firstOffset: number
      readonly nextOffset: number
      readonly records: Uint8Array | null
    }
  | {
      readonly kind: 'end'
      readonly watch: number
      readonly reason: 'closed' | 'deleted' | 'failed'
    }
  /** The state of the shard has changed. */
  | {
      readonly kind: 'state'
      readonly state: 'ready' | 'disk_full' | 'failed'
      readonly detail: string
    }
  /** For the log. */
  | {
      readonly kind: 'log'
      readonly level: 'info' | 'warn' | 'error'
      readonly message: string
      readonly fields: Readonly<Record<string, string | number>>
    }
