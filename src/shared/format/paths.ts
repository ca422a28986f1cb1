import { hexToLatin1, latin1ToHex } from './bytes.ts'

// Names of everything in the data directory, relative to it.

export const HEADER_PATH = 'varve.json'
/**
 * The second copy of varve.json. It lies beside varve.json and not in `journals`, because a change
 * of the shard count replaces all of `journals`.
 */
export const HEADER_COPY_PATH = 'varve.copy.json'
export const LOCK_PATH = 'lock'
/**
 * Present while a new directory is being laid out: until it is gone nothing was ever served from
 * it.
 */
export const INITIALISING_PATH = 'initialising'
export const JOURNALS_PATH = 'journals'
/** The journals of another shard count, while they are built, and those that they replace. */
export const JOURNALS_NEXT_PATH = 'journals.next'
export const JOURNALS_OLD_PATH = 'journals.old'
/**
 * Second copies of what a shard cannot start without. They lie outside of the shards' directories,
 * so that one of those that is rolled back to an older copy is noticed.
 */
export const COPIES_PATH = `${JOURNALS_PATH}/copies`
export const STREAMS_PATH = 'streams'
export const QUARANTINE_PATH = 'quarantine'
/** States what repairs have given up. */
export const LOSSES_PATH = 'losses.json'
/** Keys that checkpoints are signed with. */
export const KEYS_PATH = 'keys'
/** The private key in use, PKCS8 PEM. */
export const SIGNING_KEY_PATH = `${KEYS_PATH}/signing.pem`

const READABLE_CHARACTERS_MAX = 40

export function shardPath(shard: number): string {
  return `${JOURNALS_PATH}/${shardName(shard)}`
}

function shardName(shard: number): string {
  return `shard-${String(shard).padStart(2, '0')}`
}

export function cataloguePath(shard: number): string {
  return `${shardPath(shard)}/catalogue`
}

export function journalPath(shard: number, number: number): string {
  return `${shardPath(shard)}/${String(number).padStart(12, '0')}.wal`
}

/** Names the newest journal file, so that its loss is not taken for the end of the journal. */
export function newestPath(shard: number): string {
  return `${shardPath(shard)}/newest.json`
}

/** The second copy of `newest.json`, outside of the shard's own directory. */
export function newestCopyPath(shard: number): string {
  return `${COPIES_PATH}/${shardName(shard)}.newest.json`
}

/** The second copy of the catalogue. */
export function catalogueCopyPath(shard: number): string {
  return `${COPIES_PATH}/${shardName(shard)}.catalogue`
}

export function sparePath(shard: number, number: number): string {
  return `${shardPath(shard)}/${String(number).padStart(12, '0')}.spare`
}

/** Written, read back and removed at a start, to learn whether direct I/O works there. */
export function probePath(shard: number): string {
  return `${shardPath(shard)}/probe.tmp`
}

/** The number in a journal file's name, or undefined for another file. */
export function journalNumber(name: string): number | undefined {
  return /^\d{12}\.wal$/.test(name) ? Number(name.slice(0, 12)) : undefined
}

/**
 * Returns a stream's directory, e.g. streams/3d/orders-3d1c7a52e09bfa89a5b66d167245240c: a readable
 * part of the name, then the stream id. No two streams share one, whatever their names.
 * @param streamId 16 bytes as latin1
 */
export function streamPath(name: string, streamId: string): string {
  const digits = latin1ToHex(streamId)
  const readable = name.replaceAll(/[^A-Za-z0-9_-]/g, '').slice(0, READABLE_CHARACTERS_MAX)
  return `${streamPrefixPath(streamId)}/${readable}${readable === '' ? '' : '-'}${digits}`
}

/** Returns the folder that holds the directories of streams whose ids begin alike. */
export function streamPrefixPath(streamId: string): string {
  return `${STREAMS_PATH}/${latin1ToHex(streamId).slice(0, 2)}`
}

/** Returns the stream id (latin1) in the name of a stream's directory, if it is such a name. */
export function streamIdInName(name: string): string | undefined {
  const digits = /^(?:[\w-]{1,40}-)?([0-9a-f]{32})$/.exec(name)?.[1]
  return digits === undefined ? undefined : hexToLatin1(digits)
}

export function manifestPath(directory: string): string {
  return `${directory}/manifest.json`
}

export function segmentPath(directory: string, segment: number): string {
  return `${directory}/segment_${String(segment).padStart(6, '0')}.log`
}

export function indexPath(directory: string, segment: number): string {
  return `${directory}/segment_${String(segment).padStart(6, '0')}.idx`
}

/** A public key that signed checkpoints, SPKI PEM. @param keyId latin1 */
export function publicKeyPath(keyId: string): string {
  return `${KEYS_PATH}/${latin1ToHex(keyId)}.pub`
}

/** The key id (latin1) in a public key file's name, or undefined for another file. */
export function keyIdInName(name: string): string | undefined {
  return /^[0-9a-f]{32}\.pub$/.test(name) ? hexToLatin1(name.slice(0, 32)) : undefined
}

/** The number in the name of a segment or its index, or undefined for another file. */
export function segmentNumber(name: string): number | undefined {
  const digits = /^segment_(\d{6,})\.(log|idx)$/.exec(name)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/** The folder part of a path. */
export function parentPath(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}
