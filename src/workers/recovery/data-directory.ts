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
import { PAGE_BYTES } from '../../shared/limits.ts'
import { CopyFaults } from '../disk/copy-faults.ts'
import type { Disk } from '../disk/disk.ts'
import { makeDirectories, removeTree, replaceFile } from '../disk/files.ts'
import type { Environment } from '../environment.ts'
import { prepareJournalFile } from '../journal/journal-files.ts'
import {
  changeHeader,
  DIRECTORY_FORMAT,
  type DirectoryHeader,
  hasHeader,
  mendHeader,
  readStoredHeader,
  refusal,
  type StoredHeader,
  writeHeader,
} from './directory-header.ts'
import { decideMove, discardJournals, findMove, moveJournals } from './shard-move.ts'
import { createCatalogue } from '../streams/catalogue-copies.ts'

// varve.json marks a data directory that is laid out completely (directory-header.ts). During the
// layout a marker file says that nothing was ever served from the directory, so a start may begin
// the layout anew. A directory with content but neither file is refused, never taken for an empty
// one.

/** A data directory that a start may use. */
export type OpenedDirectory = {
  readonly header: DirectoryHeader
  /** Files of the header that were damaged, missing or behind, and were rewritten. */
  readonly mended: readonly string[]
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
): OpenedDirectory {
  if (!hasHeader(disk)) layOut(disk, environment, shards)
  const stored = readStoredHeader(disk)
  const header = settleMove(disk, stored)
  if (disk.exists(INITIALISING_PATH)) endLayout(disk)
  return { header, mended: stored.stale }
}

/** Finishes or undoes a stopped change of the shard count. Returns the header without its mark. */
function settleMove(disk: Disk, stored: StoredHeader): DirectoryHeader {
  const { header } = stored
  const { moving } = header
  switch (decideMove(findMove(disk, moving === true))) {
    case 'open':
      mendHeader(disk, stored)
      break
    case 'discard':
      // The header may be in the page cache alone: make it durable before removing the journals.
      writeHeader(disk, header)
      discardJournals(disk)
      break
    case 'move':
      writeHeader(disk, header)
      moveJournals(disk)
      return endMove(disk, header)
    case 'finish':
      disk.syncDirectory('')
      return endMove(disk, header)
    case 'refuse':
      throw refusal(
        `its journals are missing, or there are two sets of them; restore ${JOURNALS_PATH} ` +
          'from a backup of this directory',
      )
  }
  return header
}

/**
 * Ends a change of the journals: removes the mark from the header, then the old journals. Returns
 * the header without its mark.
 */
export function endMove(disk: Disk, header: DirectoryHeader): DirectoryHeader {
  const { moving: _, ...unmarked } = header
  const settled = changeHeader(disk, unmarked)
  discardJournals(disk)
  return settled
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
  const createdAt = environment.nowMicros()
  writeHeader(disk, { format: DIRECTORY_FORMAT, shards, createdAt, revision: 0 })
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
  const file = {
    shard,
    epoch,
    number: 0,
    firstLsn: 0,
    capacity: PAGE_BYTES, // no block ever goes here: the first start opens file 1
    salt: environment.randomBytes(16),
  }
  prepareJournalFile(disk, file, new CopyFaults())
  const start = { checkpointLsn: 0, journalFile: 0, blockNumber: 0, blockHash: GENESIS_HASH }
  const commit = { ...start, timestamp: environment.nowMicros(), clockMicros }
  const salt = environment.randomBytes(CATALOGUE_SALT_BYTES)
  createCatalogue(disk, shard, entries, commit, salt)
}

/**
 * Removes the marker. By now both files of the header are durable: the first was synced before the
 * second was made, and a missing second file has been written since.
 */
function endLayout(disk: Disk): void {
  disk.remove(INITIALISING_PATH)
  disk.syncDirectory('')
}

/** Removes the journals of an unfinished layout; nothing was ever served from them. */
function clear(disk: Disk): void {
  if (!disk.exists(JOURNALS_PATH)) return
  for (const name of disk.list(JOURNALS_PATH)) removeTree(disk, `${JOURNALS_PATH}/${name}`)
}
