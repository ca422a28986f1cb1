import { StoreError } from '../../shared/errors.ts'
import type { ShardStats } from '../../shared/protocol/shard.ts'
import type { FlushCounters } from './durable-waits.ts'
import type { ShardClient } from './shard-client.ts'

export type StoreStats = ShardStats &
  FlushCounters & { readonly shard: number; readonly inFlightBytes: number }

/** Returns the metrics of a shard; none if its thread dies meanwhile. */
export async function statsOf(client: ShardClient): Promise<StoreStats[]> {
  const { flushCounters, inFlightBytes } = client
  const { shard } = client.status
  try {
    const stats = await client.query<ShardStats>({ kind: 'stats' })
    return [{ ...stats, ...flushCounters, shard, inFlightBytes }]
  } catch (error) {
    if (error instanceof StoreError) return []
    throw error
  }
}
