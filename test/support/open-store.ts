import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ShardedStore } from '../../src/main/shards/sharded-store.ts'
import type { ShardedStoreOptions } from '../../src/main/shards/store-options.ts'
import type { ShardOptions } from '../../src/shared/protocol/shard.ts'
import { MIB } from '../../src/shared/limits.ts'
import { CONFIG } from './store-helpers.ts'

/** The engine on real threads and files, in a directory of its own that goes when it is closed. */
export async function openStore(
  shards: number,
  changes: Partial<ShardedStoreOptions> = {},
): Promise<ShardedStore> {
  const data = mkdtempSync(join(tmpdir(), 'varve-'))
  const opened = await openDirectory(data, shards, changes)
  const close = opened.close.bind(opened)
  opened.close = async () => {
    await close()
    rmSync(data, { recursive: true, force: true })
  }
  return opened
}

/** The same in a directory that stays. @param shards undefined: as many as it has */
export function openDirectory(
  data: string,
  shards: number | undefined,
  changes: Partial<ShardedStoreOptions> = {},
): Promise<ShardedStore> {
  return ShardedStore.open({
    data,
    shards,
    readers: 1,
    inFlightBytesMax: 64 * MIB,
    transactionTimeoutMs: 10_000,
    signingKey: undefined,
    engine: ENGINE,
    onLog: () => undefined,
    onMended: () => undefined,
    onResharded: () => undefined,
    onOpened: () => undefined,
    onState: () => undefined,
    ...changes,
  })
}

export const ENGINE: ShardOptions = {
  slotBytes: MIB / 4,
  journalFileBytes: 2 * MIB,
  journalBytesMax: 8 * MIB,
  checkpointIntervalMs: 20, // so that reads meet segments, memory and what lies across both
  retentionIntervalMs: 100,
  flushDelayMs: 0,
  flushOperationsMax: 0,
  relaxedFlushMs: 20,
  diskReserveBytes: 0,
  stallMs: 30_000,
  trustClock: false,
  producerExpirySeconds: 86_400,
  directBytes: 64 * 1024,
  directIo: false,
  streamsMax: 10_000,
  autoCreate: true,
  defaultConfig: CONFIG,
}
