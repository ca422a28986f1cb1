import type { StoreJob } from '../../shared/protocol/checkpointer.ts'
import type { MutationValue } from '../../shared/protocol/shard.ts'
import type { StreamConfig } from '../../shared/protocol/streams.ts'
import type { TrimCause } from './trim-counts.ts'
import type { StoredAppend, StreamLog, TailFrame } from '../streams/stream-log.ts'
import type { TransactionAppended } from './staged-transaction.ts'

/** What becomes visible once the frame that ends at `endLsn` is durable. */
export type Commit = { readonly endLsn: number } & (
  | {
      readonly kind: 'append'
      readonly log: StreamLog
      readonly frame: TailFrame
      readonly creates: boolean
    }
  | { readonly kind: 'create' | 'delete'; readonly log: StreamLog }
  /** `frame` of these three: the checkpoint that signs the change. */
  | { readonly kind: 'close'; readonly log: StreamLog; readonly frame: TailFrame }
  | {
      readonly kind: 'configure'
      readonly log: StreamLog
      readonly config: StreamConfig
      readonly frame: TailFrame
    }
  | {
      readonly kind: 'trim'
      readonly log: StreamLog
      readonly before: number
      readonly cause: TrimCause
      readonly frame: TailFrame
    }
  | {
      readonly kind: 'reference'
      readonly log: StreamLog
      readonly stored: StoredAppend
      /** That put it there; indexed when it holds. */
      readonly job: StoreJob
    }
  | { readonly kind: 'barrier' | 'pending' }
  | {
      readonly kind: 'transaction'
      /** Undefined: one that was never pending. */
      readonly pending: number | undefined
      readonly appended: readonly TransactionAppended[]
      /** Whether other shards may ask for it. */
      readonly isDecision: boolean
    }
  | { readonly kind: 'aborted'; readonly pending: number }
)

/** A mutation that became a frame. `commit` is null when there was nothing to write. */
export type Accepted = {
  readonly commit: Commit | null
  readonly value: MutationValue
  readonly durability: StreamConfig['durability']
}
