import { StoreError } from '../../shared/errors.ts'
import { HEADER_COPY_PATH, HEADER_PATH } from '../../shared/format/paths.ts'
import { decodeSealedJson, encodeSealedJson } from '../../shared/format/sealed-json.ts'
import type { Disk } from '../disk/disk.ts'
import { readIfReadable, readWhole, replaceFile } from '../disk/files.ts'

// varve.json says how many shards a directory has, so no shard can be found without it. It is kept
// twice. A change is written to varve.json first and to the copy second, each durable before the
// next step. Nobody acts on a change until both files have it. So if one file is damaged or lost,
// the other can be trusted: either it has the last change, or nobody has acted on that change yet.
// Of two sound files the one with the higher revision holds.

export const DIRECTORY_FORMAT = 3
/** A transaction names its coordinator in 16 bits. */
const SHARDS_BOUND = 65_536
const PATHS = [HEADER_PATH, HEADER_COPY_PATH] as const

/** The content of varve.json and of its copy. */
export type DirectoryHeader = {
  readonly format: number
  readonly shards: number
  /** µs since 1970 */
  readonly createdAt: number
  /** Counts the changes. */
  readonly revision: number
  /** Set while the journals of another shard count take their place; see shard-move.ts. */
  readonly moving?: true
}

export type StoredHeader = {
  readonly header: DirectoryHeader
  /** The files that are damaged, missing or behind. */
  readonly stale: readonly string[]
}

/** Returns whether either file exists, so that the directory was laid out. */
export function hasHeader(disk: Disk): boolean {
  return PATHS.some(path => disk.exists(path))
}

/**
 * Reads the header from the better of its two files.
 * @throws StoreError invalid_request when both are damaged, or one is of another format
 * @throws DiskError when neither is sound and one of them cannot be read
 */
export function readStoredHeader(disk: Disk): StoredHeader {
  const found = PATHS.map(path => ({ path, header: readOne(disk, path) }))
  const header = found.reduce<DirectoryHeader | undefined>(
    (best, { header: next }) => (isBetter(next, best) ? next : best),
    undefined,
  )
  if (header === undefined) {
    // An unreadable file may be sound, so it fails with the disk's error and is not called damaged.
    for (const path of PATHS) if (disk.exists(path)) readWhole(disk, path)
    throw refusal(
      `${HEADER_PATH} and ${HEADER_COPY_PATH} are damaged or missing; ` +
        'restore one of them from a backup of this directory',
    )
  }
  const stale = found.filter(file => file.header?.revision !== header.revision)
  return { header, stale: stale.map(({ path }) => path) }
}

/** Returns the header alone. @throws StoreError as `readStoredHeader` does */
export function readDirectoryHeader(disk: Disk): DirectoryHeader {
  return readStoredHeader(disk).header
}

function isBetter(next: DirectoryHeader | undefined, best: DirectoryHeader | undefined): boolean {
  return next !== undefined && (best === undefined || next.revision > best.revision)
}

/** @throws StoreError invalid_request if a sound file has another format or a bad shard count */
function readOne(disk: Disk, path: string): DirectoryHeader | undefined {
  const bytes = readIfReadable(disk, path)
  const header = bytes && (decodeSealedJson(bytes) as Partial<DirectoryHeader> | null | undefined)
  if (typeof header?.format !== 'number') return undefined
  if (header.format !== DIRECTORY_FORMAT) throw otherFormat(header.format)
  const { shards, revision } = header
  if (!isWithin(shards, 1, SHARDS_BOUND)) {
    throw refusal(
      `${path} has no valid number of shards (1 to ${SHARDS_BOUND}); ` +
        'restore it from a backup of this directory',
    )
  }
  return isWithin(revision, 0, Number.MAX_SAFE_INTEGER) ? (header as DirectoryHeader) : undefined
}

function isWithin(value: unknown, low: number, high: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= low && (value as number) <= high
}

function otherFormat(foundFormat: number): StoreError {
  const found = `it has format ${foundFormat}, this version reads ${DIRECTORY_FORMAT}`
  return refusal(`${found}; use the version that wrote it`, { foundFormat })
}

/** Writes a change of the header to both files, durably. Returns it with its revision. */
export function changeHeader(disk: Disk, header: DirectoryHeader): DirectoryHeader {
  const next = { ...header, revision: header.revision + 1 }
  writeHeader(disk, next)
  return next
}

/** Writes a header durably to both files, because either may be stale or only in the page cache. */
export function writeHeader(disk: Disk, header: DirectoryHeader): void {
  for (const path of PATHS) replaceFile(disk, path, encodeSealedJson(header))
}

/** Rewrites the files that are damaged, missing or behind. */
export function mendHeader(disk: Disk, { header, stale }: StoredHeader): void {
  for (const path of stale) replaceFile(disk, path, encodeSealedJson(header))
}

/** @param fields `foundFormat` if the directory has another format */
export function refusal(reason: string, fields: { foundFormat?: number } = {}): StoreError {
  return new StoreError('invalid_request', `the data directory cannot be used: ${reason}`, fields)
}
