import type { ReshardReport } from '../../shared/protocol/reader.ts'
import type { ShardEvent, ShardOpened, ShardOptions } from '../../shared/protocol/shard.ts'
import type { ShardStatus } from '../../shared/protocol/streams.ts'

/** What a store is opened with, and whom it tells of what happens. */
export type ShardedStoreOptions = {
  readonly data: string
  /** Undefined: what the directory has, or 1 for a new one. */
  readonly shards: number | undefined
  readonly readers: number
  readonly inFlightBytesMax: number
  /** From the start of a transaction to its decision; then it is aborted. */
  readonly transactionTimeoutMs: number
  readonly engine: ShardOptions
  /** PKCS8 PEM of the key to sign with; undefined: that of the directory. */
  readonly signingKey: string | undefined
  /** @param shard undefined: it is not about a shard */
  readonly onLog: (shard: number | undefined, event: Extract<ShardEvent, { kind: 'log' }>) => void
  /** Called with the files of the directory's header that were damaged or missing and rewritten. */
  readonly onMended: (files: readonly string[]) => void
  readonly onResharded: (report: ReshardReport) => void
  readonly onOpened: (shard: number, opened: ShardOpened) => void
  readonly onState: (status: ShardStatus) => void
}
