import { decodeSealedJson, encodeSealedJson } from './sealed-json.ts'

export const MANIFEST_FORMAT = 3

/** A sealed segment: it never changes after. */
export type SegmentRange = {
  readonly number: number
  readonly firstOffset: number
  readonly nextOffset: number
  readonly bytes: number
  /** 64 hex digits: chain hash of its last record, which is a checkpoint */
  readonly chainHead: string
  /** 64 hex digits: hash of its last data record */
  readonly recordHash: string
  /** µs since 1970: of its last data record */
  readonly lastTimestamp: number
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
  /**
   * Where the first segment that is kept begins, the chain hash before it and the hash of the last
   * data record before it (64 hex digits each).
   */
  readonly trimPoint: {
    readonly offset: number
    readonly chainHead: string
    readonly recordHash: string
  }
  readonly sealed: readonly SegmentRange[]
  readonly active: { readonly number: number; readonly firstOffset: number }
}

export function encodeManifest(manifest: Manifest): Buffer {
  return encodeSealedJson(manifest)
}

/** The manifest; undefined unless the file is whole and of this format. */
export function decodeManifest(bytes: Buffer): Manifest | undefined {
  const body = decodeSealedJson(bytes) as { format?: unknown } | null | undefined
  return body?.format === MANIFEST_FORMAT ? (body as Manifest) : undefined
}
