import type { StreamConfig } from '../shared/protocol/streams.ts'
import type { ServeConfig } from './config.ts'

/** What a stream gets where its creator says nothing; a bound of 0 is none. */
export function streamDefaults(config: ServeConfig): StreamConfig {
  const { durability, compression, maxSegmentBytes, checkpointEvery } = config
  const bounds = {
    maxAgeSeconds: config.retentionMaxAgeSeconds,
    maxBytes: config.retentionMaxBytes,
    maxRecords: config.retentionMaxRecords,
  }
  const retention = Object.fromEntries(Object.entries(bounds).filter(([, bound]) => bound > 0))
  return { durability, compression, maxSegmentBytes, checkpointEvery, retention }
}
