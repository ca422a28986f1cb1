import { StoreError } from '../../shared/errors.ts'
import { CATALOGUE_SALT_BYTES } from '../../shared/format/catalogue.ts'
import { GENESIS_HASH } from '../../shared/format/chain.ts'
import {
  COPIES_PATH,
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
import { decideMove, discardJournals, findMove, moveJournals } from './shard-move.ts'
import { createCatalogue } from '../streams/catalogue-copies.ts'

// varve.json marks a data directory that is laid out completely. During the layout a marker file
// says that nothing was ever served from the directory, so a start may begin the layout anew. A
// directory with content but neither file is refused, never taken for an empty one.

export const DIRECTORY_FORMAT = 3
/** A transaction names its coordinator in 16 bits. */
const SHARDS_BOUND = 65_536

/** The content of varve.json. */
export type DirectoryHeader = {
  readonly format: number
  readonly shards: number
  /** µs since 1970 */
  readonly createdAt: number
  /** Set while the journals of another shard count take their place; see shard-move.ts. */
  readonly moving?: true
}

/**
 * Opens a data directory, laying out a new one where it is empty, and finishes a change of its
 * shard count that a crash has stopped.
 * @param shards of a new one
 * @throws StoreError invalid_request, with what to do, when the directory cannot be used
 */
export function openDataDirectory(
  disk: Disk,
  environment: Environment,
  shards: number,
): DirectoryHeader {
  if (!disk.exists(HEADER_PATH)) layOut(disk, environment, shards)
  const header = settleMove(disk, readDirectoryHeader(disk))
  if (disk.exists(INITIALISING_PATH)) endLayout(disk)
  return header
}

/** @throws StoreError invalid_request when varve.json is damaged or of another format */
export function readDirectoryHeader(disk: Disk): DirectoryHeader {
  const header = decodeSealedJson(readWhole(disk, HEADER_PATH)) as
    | DirectoryHeader
    | null
    | undefined
  if (typeof header?.format !== 'number') {
    throw refusal(`${HEADER_PATH} is damaged; restore it from a backup of this directory`)
  }
  if (header.format !== DIRECTORY_FORMAT) throw refusal(otherFormat(header.format))
  if (!Number.isSafeInteger(header.shards) || header.shards < 1 || header.shards > SHARDS_BOUND) {
    throw refusal(
      `${HEADER_PATH} has no valid number of shards (1 to ${SHARDS_BOUND}); ` +
        'restore it from a backup of this directory',
    )
  }
  return header
}

/** Says why a directory of another format is not used. */
export function otherFormat(format: unknown): string {
  const found = `it has format ${JSON.stringify(format)}, this version reads ${DIRECTORY_FORMAT}`
  return `${found}; use the version that wrote it`
}

/** Finishes or undoes a stopped change of the shard count. Returns the header without its mark. */
function settleMove(disk: Disk, header: DirectoryHeader): DirectoryHeader {
  const { moving, ...settled } = header
  switch (decideMove(findMove(disk, moving === true))) {
    case 'open':
      break
    case 'discard':
      // The header may be in the page cache alone: make it durable before removing the journals.
      writeHeader(disk, header)
      discardJournals(disk)
      break
    case 'move':
      writeHeader(disk, header)
      moveJournals(disk)
      endMove(disk, settled)
      break
    case 'finish':
      disk.syncDirectory('')
      endMove(disk, settled)
      break
    case 'refuse':
      throw refusal(
        `its journals are missing, or there are two sets of them; restore ${JOURNALS_PATH} ` +
          'from a backup of this directory',
      )
  }
  return settled
}

export function writeHeader(disk: Disk, header: DirectoryHeader): void {
  replaceFile(disk, HEADER_PATH, encodeSealedJson(header))
}

/** Ends a change of the journals: removes the mark from varve.json, then the old journals. */
export function endMove(disk: Disk, header: DirectoryHeader): void {
  writeHeader(disk, header)
  discardJournals(disk)
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
    const clockMicros = environment.nowMicros()
    layOutShard(disk, environment, shard, { epoch: 0, clockMicros, entries: [] })
  }
  writeHeader(disk, { format: DIRECTORY_FORMAT, shards, createdAt: environment.nowMicros() })
}

/** Lays out a shard with these streams (catalogue entries) and an empty journal. */
export function layOutShard(
  disk: Disk,
  environment: Environment,
  shard: number,
  {
    epoch,
    clockMicros,
    entries,
  }: { readonly epoch: number; readonly clockMicros: number; readonly entries: readonly Buffer[] },
): void {
  makeDirectories(disk, shardPath(shard))
  makeDirectories(disk, COPIES_PATH)
  prepareJournalFile(disk, {
    shard,
    epoch,
    number: 0,
    firstLsn: 0,
    capacity: PAGE_BYTES, // no block ever goes here: the first start opens file 1
    salt: environment.randomBytes(16),
  })
  const start = { checkpointLsn: 0, journalFile: 0, blockNumber: 0, blockHash: GENESIS_HASH }
  const commit = { ...start, timestamp: environment.nowMicros(), clockMicros }
  const salt = environment.randomBytes(CATALOGUE_SALT_BYTES)
  createCatalogue(disk, shard, entries, commit, salt)
}

/** Removes the marker. The header may be in the page cache alone, so it is made durable first. */
function endLayout(disk: Disk): void {
  replaceFile(disk, HEADER_PATH, readWhole(disk, HEADER_PATH))
  disk.remove(INITIALISING_PATH)
  disk.syncDirectory('')
}

/** Removes the journals of an unfinished layout; nothing was ever served from them. */
function clear(disk: Disk): void {
  if (!disk.exists(JOURNALS_PATH)) return
  for (const name of disk.list(JOURNALS_PATH)) removeTree(disk, `${JOURNALS_PATH}/${name}`)
}

function refusal(reason: string): StoreError {
  return new StoreError('invalid_request', `the data directory cannot be used: ${reason}`)
}
