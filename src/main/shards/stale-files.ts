import { StoreError } from '../../shared/errors.ts'
import type { StaleIndex } from '../../shared/protocol/reader.ts'
import type { ReadPlan } from '../../shared/protocol/shard.ts'
import type { ShardClient } from './shard-client.ts'

/** Files that a read found stale. */
type StaleFiles = {
  readonly staleIndex: StaleIndex | undefined
  readonly isManifestStale: boolean
}

/**
 * Asks the shard to rebuild files that a read found stale. A refusal must not fail the finished
 * read, so it is ignored: the next read finds the same files stale.
 */
export async function requestRebuild(
  owner: Pick<ShardClient, 'query'>,
  { stream, streamId }: Pick<ReadPlan, 'stream' | 'streamId'>,
  { staleIndex, isManifestStale }: StaleFiles,
): Promise<void> {
  try {
    if (isManifestStale) await owner.query({ kind: 'relist', stream, streamId })
    if (staleIndex === undefined) return
    await owner.query({ kind: 'reindex', stream, streamId, ...staleIndex })
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
  }
}
