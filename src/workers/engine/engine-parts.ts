import type { JournalMemory } from '../../shared/memory/journal-memory.ts'
import type { CheckpointerJob } from '../../shared/protocol/checkpointer.ts'
import type { ShardEvent, ShardOptions } from '../../shared/protocol/shard.ts'
import type { Signer } from '../../shared/signing.ts'
import type { Environment } from '../environment.ts'
import type { LogBuffer } from '../journal/log-buffer.ts'
import type { StreamTable } from '../streams/stream-table.ts'
import type { TailArena } from '../streams/tail-arena.ts'
import type { JournalCheckpoint } from './journal-checkpoint.ts'
import type { TrustedClock } from './trusted-clock.ts'
import type { TransactionLedger } from './transaction-ledger.ts'

/** What an engine is made of; shard-thread.ts puts it together, and the simulation does. */
export type EngineParts = {
  readonly shard: number
  readonly options: ShardOptions
  readonly environment: Environment
  /** For ages; the environment's gives the times of records. */
  readonly clock: TrustedClock
  /** Signs checkpoints. */
  readonly signer: Signer
  readonly memory: JournalMemory
  readonly buffer: LogBuffer
  readonly table: StreamTable
  readonly arena: TailArena
  readonly checkpoint: JournalCheckpoint
  readonly ledger: TransactionLedger
  readonly freeBytes: () => number
  readonly postJob: (job: CheckpointerJob) => void
  readonly emit: (event: ShardEvent) => void
}
