import { latin1ToHex } from './bytes.ts'
import { GENESIS_HASH } from './chain.ts'
import { decodeSealedJson, encodeSealedJson } from './sealed-json.ts'

export const MANIFEST_FORMAT = 2

/** A sealed segment: it never changes after. */
export type SegmentRange = {
  readonly number: number
  readonly firstOffset: number
  readonly nextOffset: number
  readonly bytes: number
  /** 64 hex digits: chain hash of its last record, which is a checkpoint */
  readonly chainHead: string
  /** µs since 1970: of its last data record; null where format 1 did not say */
  readonly lastTimestamp: number | null
}

/**
 * A stream's manifest.json. Replaced atomically, when segments roll or the configuration changes.
 */
export type Manifest = {
  readonly format: typeof MANIFEST_FORMAT
  readonly stream: string
  /** 32 hex digits */
  readonly streamId: string
  /** µs since 1970 */
  readonly createdAt: number
  readonly closed: boolean
  readonly config: unknown
  /** Where the first segment that is kept begins, and the chain hash before it (64 hex digits). */
  readonly trimPoint: { readonly offset: number; readonly chainHead: string }
  readonly sealed: readonly SegmentRange[]
  readonly active: { readonly number: number; readonly firstOffset: number }
}

export function encodeManifest(manifest: Manifest): Buffer {
  return encodeSealedJson(manifest)
}

/** The manifest; undefined unless the file is whole and of this format. */
export function decodeManifest(bytes: Buffer): Manifest | undefined {
  const body = decodeSealedJson(bytes) as { format?: unknown } | undefined
  if (body?.format === MANIFEST_FORMAT) return body as Manifest
  return body?.format === 1 ? fromFormat1(body as unknown as Manifest) : undefined
}

/** In format 1 nothing was trimmed, and segments did not say when they end. */
function fromFormat1(body: Manifest): Manifest {
  return {
    ...body,
    format: MANIFEST_FORMAT,
    trimPoint: { offset: 0, chainHead: latin1ToHex(GENESIS_HASH) },
    sealed: body.sealed.map(segment => ({ ...segment, lastTimestamp: null })),
  }
}
