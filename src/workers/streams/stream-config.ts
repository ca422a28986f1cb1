import { COMPRESSIONS, DURABILITIES } from '../../shared/format/stream-state.ts'
import { STREAM_CONFIG_DEFAULT } from '../../shared/limits.ts'
import type { StreamConfig } from '../../shared/protocol/streams.ts'

/** Most streams of a store share one of few configurations: each text is parsed once. */
const KNOWN_MAX = 1000

const known = new Map<string, StreamConfig>()

/**
 * Parses a configuration of the journal or the catalogue. Missing members get their defaults. An
 * invalid configuration reads as the default: it is not what was signed, so only its stream is
 * refused.
 */
export function readConfig(text: string): StreamConfig {
  const found = known.get(text)
  if (found !== undefined) return found
  const config = parse(text) ?? STREAM_CONFIG_DEFAULT
  if (known.size >= KNOWN_MAX) known.clear()
  known.set(text, config)
  return config
}

function parse(text: string): StreamConfig | undefined {
  const found = parseJson(text)
  if (!isObject(found)) return undefined
  const config = { ...STREAM_CONFIG_DEFAULT, ...(found as Partial<StreamConfig>) }
  const { durability, compression, maxSegmentBytes, checkpointEvery, retention } = config
  const isSound =
    DURABILITIES.includes(durability) &&
    COMPRESSIONS.includes(compression) &&
    isBound(maxSegmentBytes) &&
    isBound(checkpointEvery) &&
    isObject(retention) &&
    [retention.maxAgeSeconds, retention.maxBytes, retention.maxRecords].every(
      bound => bound === undefined || isBound(bound),
    )
  return isSound ? config : undefined
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // the comparison with the signed state hash names the damage
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isBound(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) > 0
}
