import { StoreError } from '../../shared/errors.ts'
import { GENESIS_HASH } from '../../shared/format/chain.ts'
import {
  HEADER_PATH,
  INITIALISING_PATH,
  JOURNALS_PATH,
  LOCK_PATH,
  QUARANTINE_PATH,
  STREAMS_PATH,
  shardPath,
} from '../../shared/format/paths.ts'
import { decodeSealedJson, encodeSealedJson } from '../../shared/format/sealed-json.ts'
import { PAGE_BYTES } from '../../shared/limits.ts'
import type { Disk } from '../disk/disk.ts'
import { makeDirectories, readWhole, removeTree, replaceFile } from '../disk/files.ts'
import type { Environment } from '../environment.ts'
import { prepareJournalFile } from '../journal/journal-files.ts'
import { createCatalogue } from '../streams/catalogue-file.ts'

// varve.json says that a directory is one of ours, laid out completely. While it is laid out, a
// marker file says that nothing was ever served from it, so that it may be begun anew. A directory
// with content but neither of the two is refused: it is never taken for an empty one.

export const DIRECTORY_FORMAT = 1

/** The content of varve.json. */
export type DirectoryHeader = {
  readonly format: number
  readonly shards: number
  /** µs since 1970 */
  readonly createdAt: number
}

/**
 * Opens a data directory, laying out a new one where it is empty.
 * @param shards the count asked for; undefined takes what is there, or 1
 * @throws StoreError invalid_request, with what to do, when the directory cannot be used
 */
export function openDataDirectory(
  disk: Disk,
  environment: Environment,
  shards: number | undefined,
): DirectoryHeader {
  if (!disk.exists(HEADER_PATH)) {
    layOut(disk, environment, shards ?? 1)
  }
  const header = readDirectoryHeader(disk)
  if (shards !== undefined && shards !== header.shards) {
    throw refusal(
      `it was created with ${header.shards} shards, not ${shards}; start without --shards`,
    )
  }
  if (disk.exists(INITIALISING_PATH)) endLayout(disk)
  return header
}

/** @throws StoreError invalid_request when varve.json is damaged or of a newer format */
function readDirectoryHeader(disk: Disk): DirectoryHeader {
  const header = decodeSealedJson(readWhole(disk, HEADER_PATH)) as DirectoryHeader | undefined
  if (header === undefined) {
    throw refusal(`${HEADER_PATH} is damaged; restore it from a backup of this directory`)
  }
  if (header.format !== DIRECTORY_FORMAT) {
    throw refusal(
      `it has format ${header.format}, this version reads format ${DIRECTORY_FORMAT}; ` +
        'use the version that wrote it',
    )
  }
  return header
}

function layOut(disk: Disk, environment: Environment, shards: number): void {
  const ours = [LOCK_PATH, `${INITIALISING_PATH}.tmp`]
  const names = disk.list('').filter(name => !ours.includes(name))
  if (names.includes(INITIALISING_PATH)) clear(disk)
  else if (names.length > 0) {
    throw refusal(
      `it is not empty and has no ${HEADER_PATH}; choose another directory, or restore that file`,
    )
  }
  replaceFile(disk, INITIALISING_PATH, Buffer.alloc(0))
  makeDirectories(disk, STREAMS_PATH)
  makeDirectories(disk, QUARANTINE_PATH)
  for (let shard = 0; shard < shards; shard += 1) {
    layOutShard(disk, environment, shard)
  }
  const header = { format: DIRECTORY_FORMAT, shards, createdAt: environment.nowMicros() }
  replaceFile(disk, HEADER_PATH, encodeSealedJson(header))
}

function layOutShard(disk: Disk, environment: Environment, shard: number): void {
  makeDirectories(disk, shardPath(shard))
  prepareJournalFile(disk, {
    shard,
    epoch: 0,
    number: 0,
    firstLsn: 0,
    capacity: PAGE_BYTES, // no block ever goes here: the first start opens file 1
    salt: environment.randomBytes(16),
  })
  createCatalogue(disk, shard, {
    checkpointLsn: 0,
    journalFile: 0,
    blockNumber: 0,
    blockHash: GENESIS_HASH,
    timestamp: environment.nowMicros(),
    entries: 0,
  })
}

/** The header may be known from the cache alone: durable first, and only then the marker goes. */
function endLayout(disk: Disk): void {
  replaceFile(disk, HEADER_PATH, readWhole(disk, HEADER_PATH))
  disk.remove(INITIALISING_PATH)
  disk.syncDirectory('')
}

/** Takes back what an earlier layout left; nothing was ever served from it. */
function clear(disk: Disk): void {
  if (!disk.exists(JOURNALS_PATH)) return
  for (const name of disk.list(JOURNALS_PATH)) removeTree(disk, `${JOURNALS_PATH}/${name}`)
}

function refusal(reason: string): StoreError {
  return new StoreError('invalid_request', `the data directory cannot be used: ${reason}`)
}
