import { decodeSealedJson, encodeSealedJson } from './sealed-json.ts'

export const MANIFEST_FORMAT = 1

/** A sealed segment: it never changes after. */
export type SegmentRange = {
  readonly number: number
  readonly firstOffset: number
  readonly nextOffset: number
  readonly bytes: number
  /** 64 hex digits: chain hash of its last record */
  readonly chainHead: string
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
  readonly sealed: readonly SegmentRange[]
  readonly active: { readonly number: number; readonly firstOffset: number }
}

export function encodeManifest(manifest: Manifest): Buffer {
  return encodeSealedJson(manifest)
}

/** The manifest; undefined unless the file is whole and of this format. */
export function decodeManifest(bytes: Buffer): Manifest | undefined {
  const body = decodeSealedJson(bytes) as Partial<Manifest> | undefined
  return body?.format === MANIFEST_FORMAT ? (body as Manifest) : undefined
}
