import type { ShardStats } from '../../shared/protocol/shard.ts'
import type { DirectAppends } from './direct-appends.ts'
import type { DurableCommits } from './durable-commits.ts'
import type { EngineParts } from './engine-parts.ts'
import type { MutationQueue } from './mutation-queue.ts'
import type { RetentionKeeper } from './retention-keeper.ts'

type CountingParts = {
  readonly queue: MutationQueue
  readonly directs: DirectAppends
  readonly retention: RetentionKeeper
  readonly commits: DurableCommits
}

/** Gathers what the parts of an engine count, for the metrics. */
export function statsOf(
  { table, arena, buffer, checkpoint, ledger }: EngineParts,
  { queue, directs, retention, commits }: CountingParts,
): ShardStats {
  return {
    streams: table.size,
    queuedMutations: queue.length,
    tailBytes: arena.bytes,
    nextLsn: buffer.endLsn,
    durableLsn: buffer.durable.endLsn,
    journalBytes: buffer.endLsn - checkpoint.lsn,
    checkpoints: checkpoint.count,
    directAppends: directs.count,
    ...retention.stats,
    appendedRecords: commits.appendedRecords,
    appendedBytes: commits.appendedBytes,
    parkedMutations: queue.parkedCount,
    stagedTransactions: ledger.stagedCount,
    inDoubtTransactions: ledger.inDoubtCount,
    committedTransactions: ledger.committed,
    abortedTransactions: ledger.aborted,
    journalFiles: buffer.files,
    ...buffer.encodeCounters,
  }
}
