import { STREAM_CONFIG_DEFAULT } from '../../shared/limits.ts'
import type { StreamConfig } from '../../shared/protocol/streams.ts'

/** Most streams of a store share one of few configurations: each text is parsed once. */
const KNOWN_MAX = 1000

const known = new Map<string, StreamConfig>()

/** A configuration as the journal and the catalogue have it; what it does not say is as before. */
export function readConfig(text: string): StreamConfig {
  const found = known.get(text)
  if (found !== undefined) return found
  const config: StreamConfig = {
    ...STREAM_CONFIG_DEFAULT,
    ...(JSON.parse(text) as Partial<StreamConfig>),
  }
  if (known.size >= KNOWN_MAX) known.clear()
  known.set(text, config)
  return config
}
