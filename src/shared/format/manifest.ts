import { hexToLatin1 } from './bytes.ts'
import { CHECKPOINT_RECORD_BYTES } from './checkpoint.ts'
import { isStreamIdOf } from './stream-id.ts'
import { decodeSealedJson, encodeSealedJson } from './sealed-json.ts'

export const MANIFEST_FORMAT = 3

/** A sealed segment: it never changes after. */
export type SegmentRange = {
  readonly number: number
  readonly firstOffset: number
  readonly nextOffset: number
  readonly bytes: number
  /**
   * 64 hex digits: chain hash of its last record, which is a checkpoint; empty where the segment is
   * lost, and the one after it too
   */
  readonly chainHead: string
  /** 64 hex digits: hash of its last data record; empty where the segment is lost */
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
  /** 64 hex digits: hash of the state that the stream was created with */
  readonly creationHash: string
  /** µs since 1970 */
  readonly createdAt: number
  readonly closed: boolean
  readonly config: unknown
  readonly firstOffset: number
  /** Hex: record of the checkpoint that signed the state; empty where it never changed */
  readonly stateCheckpoint: string
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

/**
 * The manifest; undefined unless the file is whole, of this format, and every field is what its
 * type says, the stream's id being of its name. Fields that are not named here do not count.
 */
export function decodeManifest(bytes: Buffer): Manifest | undefined {
  const body = decodeSealedJson(bytes)
  if (!isObject(body) || body['format'] !== MANIFEST_FORMAT) return undefined
  const { stream, streamId, creationHash, createdAt, closed, config, trimPoint } = body
  const { sealed, active, firstOffset, stateCheckpoint } = body
  const isSound =
    typeof stream === 'string' &&
    isHex(streamId, 32) &&
    isHex(creationHash, 64) &&
    isStreamIdOf(hexToLatin1(streamId), hexToLatin1(creationHash), stream) &&
    isCount(createdAt) &&
    typeof closed === 'boolean' &&
    isObject(config) &&
    isCount(firstOffset) &&
    (stateCheckpoint === '' || isHex(stateCheckpoint, 2 * CHECKPOINT_RECORD_BYTES)) &&
    isObject(trimPoint) &&
    isCount(trimPoint['offset']) &&
    areHashes(trimPoint) &&
    Array.isArray(sealed) &&
    sealed.every(isRange) &&
    isObject(active) &&
    isCount(active['number']) &&
    isCount(active['firstOffset'])
  return isSound ? (body as Manifest) : undefined
}

type Fields = Readonly<Record<string, unknown>>

function isRange(range: unknown): boolean {
  return (
    isObject(range) &&
    ['number', 'firstOffset', 'nextOffset', 'bytes', 'lastTimestamp'].every(name =>
      isCount(range[name]),
    ) &&
    areHashes(range)
  )
}

/** Each is empty where it is not known any more. */
function areHashes({ chainHead, recordHash }: Fields): boolean {
  return [chainHead, recordHash].every(hash => hash === '' || isHex(hash, 64))
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isHex(value: unknown, digits: number): value is string {
  return typeof value === 'string' && value.length === digits && /^[0-9a-f]*$/.test(value)
}
