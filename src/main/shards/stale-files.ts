import { StoreError } from '../../shared/errors.ts'
import type { StaleIndex } from '../../shared/protocol/reader.ts'
import type { ReadPlan } from '../../shared/protocol/shard.ts'
import type { ShardClient } from './shard-client.ts'

/** What a read found stale. */
type StaleFiles = {
  readonly staleIndex: StaleIndex | undefined
  readonly isManifestStale: boolean
}

/**
 * Has the shard rebuild what a read found stale. A shard that is gone or only reads costs the
 * finished read nothing: the next read finds the same.
 */
export async function haveRebuilt(
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
