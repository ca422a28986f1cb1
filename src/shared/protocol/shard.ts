import type { PlainError } from '../errors.ts'
import type { StoredTrimPoint } from '../format/checkpoint.ts'
import type { Witness } from '../format/frame.ts'
import type { JournalEnds } from '../format/journal-ends.ts'
import type {
  AppendResult,
  Checkpoint,
  Durability,
  Producer,
  StreamConfig,
  StreamDamage,
  StreamInfo,
  TransactionPart,
} from './streams.ts'

// Every message between the front end and a shard thread. Requests are Piscina tasks; events come
// over a port of their own, which travels with `open`.

/**
 * A batch's bytes, `[at, at + length)` of the task's; at least CHAIN_PREFIX_BYTES lie before.
 */
export type BatchBytes = { readonly at: number; readonly length: number; readonly count: number }

/** What a transaction appends to one stream of a shard. */
export type TransactionShare = BatchBytes & {
  readonly stream: string
  readonly expectedOffset: number | undefined
}

/**
 * What a transaction comes to. `unknown`: the shard that decides cannot be asked; the streams stay
 * held, and what comes for them is refused.
 */
export type TransactionOutcome = 'commit' | 'abort' | 'unknown'

/** A change to streams. Mutations of one task, and of one task after the other, apply in order. */
export type Mutation =
  | (BatchBytes & {
      readonly kind: 'append'
      readonly stream: string
      readonly expectedOffset: number | undefined
      readonly durability: Durability | undefined
      readonly producer: Producer | undefined
    })
  | { readonly kind: 'create'; readonly stream: string; readonly config: StreamConfig }
  | { readonly kind: 'configure'; readonly stream: string; readonly change: Partial<StreamConfig> }
  | { readonly kind: 'close' | 'delete' | 'checkpoint'; readonly stream: string }
  | {
      readonly kind: 'trim'
      readonly stream: string
      readonly before: number
      /** From retention: of this very stream (latin1), not of one that has its name by now. */
      readonly streamId?: string
    }
  | { readonly kind: 'barrier' }
  /** A transaction that concerns no other shard. */
  | {
      readonly kind: 'transact'
      readonly transaction: number
      readonly appends: readonly TransactionShare[]
    }
  /** This shard's part of one that does; held until it is resolved. */
  | {
      readonly kind: 'prepare'
      readonly transaction: number
      readonly coordinator: number
      readonly appends: readonly TransactionShare[]
    }
  /**
   * To the coordinator: commits its own part, which commits the transaction. To be sent only when
   * every part is durable; `witnesses` say how far that makes the other journals.
   */
  | {
      readonly kind: 'decide'
      readonly transaction: number
      readonly witnesses: readonly Witness[]
    }
  /** Ends a part, wherever it stands: one that still waits is taken back. */
  | {
      readonly kind: 'resolve'
      readonly transaction: number
      readonly outcome: TransactionOutcome
      /** Where it is a commit: how far the decision makes the coordinator's journal durable. */
      readonly witnesses: readonly Witness[]
    }
  /** To the coordinator: every other part is durably committed, nobody will ask any more. */
  | { readonly kind: 'forget'; readonly transaction: number }

/** What an accepted mutation leads to, once it is durable. */
export type MutationValue =
  | Omit<AppendResult, 'durable'>
  | { readonly created: boolean; readonly info: StreamInfo }
  | { readonly info: StreamInfo }
  | Checkpoint
  | { readonly appends: readonly TransactionPart[] }
  /** Of a part: where its pending frame ends. */
  | { readonly appends: readonly TransactionPart[]; readonly endLsn: number }
  /** Of a decision: where its frame ends. */
  | { readonly endLsn: number }
  | null

export type MutationResult =
  | {
      readonly value: MutationValue
      /** To be answered once the durable LSN has reached this many pages, modulo 2^32. */
      readonly pages: number
      /** Answer at once: relaxed durability. */
      readonly relaxed: boolean
    }
  | {
      readonly error: PlainError
      /**
       * To be answered once the durable LSN has reached this many pages: what the refusal rests on
       * may not be durable yet. Absent: at once.
       */
      readonly pages?: number
    }

/** `later`: it waits for a transaction, and its result comes as an event of this number. */
export type MutationReply = MutationResult | { readonly later: number }

/** What the engine of a shard needs to know; sizes in bytes, times in ms. */
export type ShardOptions = {
  readonly slotBytes: number
  readonly journalFileBytes: number
  readonly journalBytesMax: number
  readonly checkpointIntervalMs: number
  /** Time between two retention passes. */
  readonly retentionIntervalMs: number
  readonly flushDelayMs: number
  /** 0: no bound. */
  readonly flushOperationsMax: number
  readonly relaxedFlushMs: number
  readonly diskReserveBytes: number
  /** Appends of so many record bytes go straight to their segment; 0: none does. */
  readonly directBytes: number
  readonly stallMs: number
  /** Take the system's clock for ages at this start, however far it is past the last commit's. */
  readonly trustClock: boolean
  /** Write the journal past the page cache, where that works. */
  readonly directIo: boolean
  readonly streamsMax: number
  /** Producers idle for longer are forgotten. */
  readonly producerExpirySeconds: number
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
  /** Only records below this offset are asked for; undefined: those that `from` and `limit` say. */
  readonly below?: number
  /** 64 hex digits: the reader's hash of the record before `from`. */
  readonly after?: string
  /** The chain is to be checked from the first record kept, so the tail is taken from its start. */
  readonly wholeTail: boolean
  /**
   * The chain is to be checked to a signature above the range, or the head. With `wholeTail`: from
   * the nearest checkpoint at or below the range.
   */
  readonly fromCheckpoint: boolean
  /** Of the tail, only so many of the checkpoints from an offset on are wanted. */
  readonly checkpoints?: { readonly from: number; readonly limit: number }
  /** To be verified instead of read: clipped to what there is. */
  readonly verified?: { readonly from: number | undefined; readonly to: number | undefined }
}

/** Where the records of a read are, as of one moment. */
export type ReadPlan = {
  readonly stream: string
  /** 16 bytes as latin1 */
  readonly streamId: string
  readonly closed: boolean
  readonly firstOffset: number
  /** Where the first segment kept begins, and the hashes before it (latin1). */
  readonly trimPoint: StoredTrimPoint
  /** Durable end of the stream, and the chain hash there (latin1). */
  readonly nextOffset: number
  /** The journal or the catalogue is damaged, so the stream may continue beyond `nextOffset`. */
  readonly isEndUnknown?: boolean
  readonly chainHead: string
  /** Hash of the last durable data record (latin1). */
  readonly recordHash: string
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
    readonly recordHash: string
    readonly lastTimestamp: number
    readonly recordBytes: number
    readonly firstSegment: number
    readonly segment: number
    readonly segmentFirstOffset: number
    readonly segmentBytes: number
    /** Whether the last record there is a checkpoint. */
    readonly endsWithCheckpoint: boolean
  }
  /** Whole appends from memory that follow one another, the chain hash before them known. */
  readonly tail: {
    readonly firstOffset: number
    readonly nextOffset: number
    /** Chain hash, and hash of the last data record, before the first of them. */
    readonly previousHash: string
    readonly previousRecordHash: string
    /** The same after the last of them. */
    readonly chainHead: string
    readonly recordHash: string
    readonly records: Uint8Array
  } | null
}

export type ShardRequest =
  | {
      readonly kind: 'open'
      readonly data: string
      readonly shard: number
      readonly options: ShardOptions
      /** PKCS8 PEM of the key that signs checkpoints. */
      readonly signingKey: string
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
      /** 16 bytes as latin1 */
      readonly streamId: string
      readonly segment: number
      readonly firstOffset: number
      readonly bytes: number
    }
  /** Has the manifest written anew. */
  | {
      readonly kind: 'relist'
      readonly stream: string
      /** 16 bytes as latin1 */
      readonly streamId: string
    }
  | { readonly kind: 'stats' }
  /**
   * To a shard that was opened, and to one that waits for room. `lost`: why its journal is refused,
   * by what other shards' journals say.
   */
  | { readonly kind: 'begin'; readonly lost: string | null }
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
  /** Transactions that were pending at the journal's end. */
  readonly inDoubt: number
  readonly epoch: number
  /** Files that were damaged or missing, and were made anew from a second copy. */
  readonly rebuilt: readonly string[]
  readonly milliseconds: number
}

/** A transaction whose outcome its shard's journal does not tell. */
export type InDoubt = {
  readonly id: number
  /** The shard whose journal does. */
  readonly coordinator: number
}

/** What a start found of transactions. */
export type FoundTransactions = {
  /** How far the journal was found, and is durable. */
  readonly endLsn: number
  readonly inDoubt: readonly InDoubt[]
  /** Committed by this shard as their coordinator, and not forgotten. */
  readonly decisions: readonly number[]
}

/** What `open` has read; nothing is written, and nothing served, before `begin`. */
export type ShardRead = {
  /** Null where the journal is refused by itself. */
  readonly ends: JournalEnds | null
}

export type ShardOpened = {
  readonly memory: WebAssembly.Memory
  readonly report: RecoveryReport | null
  /** Why the journal was refused; the shard then only reads. */
  readonly refused: string | null
  /**
   * Why no change is taken yet: there is no room for a journal file. Everything can be read;
   * `begin` tries again.
   */
  readonly waiting: string | null
  /** Null where the journal was refused, or has to wait for room. */
  readonly transactions: FoundTransactions | null
}

/** Records and bytes trimmed since the start, on request and by retention. */
export type TrimStats = {
  readonly trimmedRecords: number
  readonly trimmedBytes: number
  readonly retentionRecords: number
  readonly retentionBytes: number
  /** Files of either. */
  readonly removedSegments: number
}

export type ShardStats = TrimStats & {
  readonly streams: number
  readonly queuedMutations: number
  readonly tailBytes: number
  /** LSN that the next frame gets at least, and the one up to which the journal is durable. */
  readonly nextLsn: number
  readonly durableLsn: number
  readonly journalBytes: number
  readonly checkpoints: number
  /** Appends since the start whose records went straight to a segment. */
  readonly directAppends: number
  readonly appendedRecords: number
  readonly appendedBytes: number
  /** Mutations that wait for a transaction on their stream. */
  readonly parkedMutations: number
  readonly stagedTransactions: number
  /** Of the staged ones, those that outlived a crash or whose coordinator failed. */
  readonly inDoubtTransactions: number
  readonly committedTransactions: number
  readonly abortedTransactions: number
  /** Prepared since the start, new ones and ones used again. */
  readonly journalFiles: { readonly made: number; readonly reused: number }
  /** Frames encoded, and what that took, s; then the same of those encoded beside a flush. */
  readonly encodedFrames: number
  readonly encodeSeconds: number
  readonly overlappedFrames: number
  readonly overlappedSeconds: number
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
      /** latin1: hash of the record before `nextOffset` */
      readonly lastHash: string
    }
  | {
      readonly kind: 'end'
      readonly watch: number
      readonly reason: 'closed' | 'deleted' | 'failed'
    }
  /** To a mutation whose reply was `later`. */
  | { readonly kind: 'answer'; readonly later: number; readonly result: MutationResult }
  /** The state of the shard has changed. */
  | {
      readonly kind: 'state'
      readonly state: 'ready' | 'disk_full' | 'failed'
      readonly detail: string
    }
  /** Part of a stream cannot be read or stored; or all records that cannot be written now. */
  | { readonly kind: 'damage'; readonly damage: StreamDamage }
  | { readonly kind: 'unwritten'; readonly damage: readonly StreamDamage[] }
  /** For the log. */
  | {
      readonly kind: 'log'
      readonly level: 'info' | 'warn' | 'error'
      readonly message: string
      readonly fields: Readonly<Record<string, string | number>>
    }
