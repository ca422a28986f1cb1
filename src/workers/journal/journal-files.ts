import {
  encodeJournalHeader,
  decodeJournalHeader,
  type JournalHeader,
} from '../../shared/format/journal-header.ts'
import {
  journalNumber,
  journalPath,
  newestCopyPath,
  newestPath,
  shardPath,
  sparePath,
} from '../../shared/format/paths.ts'
import { decodeSealedJson, encodeSealedJson } from '../../shared/format/sealed-json.ts'
import { PAGE_BYTES } from '../../shared/limits.ts'
import { isMissing } from '../disk/aside.ts'
import type { CopyFaults } from '../disk/copy-faults.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import {
  readFully,
  withFile,
  writeFully,
  writeZeros,
  readIfReadable,
  replaceFile,
} from '../disk/files.ts'

// A journal file is prepared under a temporary name, and gets its number only when its header and
// its space are durable. A numbered file therefore always has a sound header, and a block in it
// does not grow the file, so fdatasync of its bytes is enough.

const NEWEST_FORMAT = 1

/** The body of newest.json. */
type Newest = { readonly format: number; readonly shard: number; readonly file: number }

/**
 * How many freed files are kept for reuse. The files freed last are kept, because they most likely
 * have the size that is wanted now.
 */
const SPARES_MAX = 2

/**
 * Makes a journal file durable and ready for blocks. An empty file of the same number is replaced.
 * @param faults records it if the second copy of newest.json cannot be written
 * @returns whether a freed file was reused
 */
export function prepareJournalFile(disk: Disk, header: JournalHeader, faults: CopyFaults): boolean {
  const directory = shardPath(header.shard)
  const spare = takeSpare(disk, header)
  const path = spare ?? `${directory}/prepared.tmp`
  const bytes = PAGE_BYTES + header.capacity
  // Checked first, so that a nearly full disk is not filled to its last byte by a failing write.
  if (spare === undefined && disk.freeBytes() < bytes) throw new DiskError('ENOSPC', 'write', path)
  withFile(disk, path, spare === undefined ? 'create' : 'update', file => {
    if (spare === undefined) writeZeros(disk, file, PAGE_BYTES, header.capacity)
    writeFully(disk, file, encodeJournalHeader(header), 0)
    disk.sync(file)
  })
  disk.rename(path, journalPath(header.shard, header.number))
  disk.syncDirectory(directory)
  const note = encodeSealedJson({ format: NEWEST_FORMAT, shard: header.shard, file: header.number })
  const [copyPath, newest] = newestPaths(header.shard)
  const isWritten = faults.attempt(copyPath, () => {
    replaceFile(disk, copyPath, note)
    return true
  })
  if (isWritten === true) faults.noteWhole(copyPath)
  replaceFile(disk, newest, note)
  return spare !== undefined
}

/** The two copies of newest.json, read together. */
export type NewestFile = {
  /**
   * Number of the newest file that a copy names. One newer file may exist, because the copies are
   * written after it.
   */
  readonly file: number
  /** Paths of copies that are damaged or missing; preparing the next file replaces both. */
  readonly damaged: readonly string[]
}

/**
 * Reads both copies of newest.json. Without them, a journal that lost its newest files would look
 * like a shorter journal.
 * @returns undefined if neither copy is sound
 */
export function readNewest(disk: Disk, shard: number): NewestFile | undefined {
  const notes = newestPaths(shard).map(path => ({ path, file: readNote(disk, path, shard) }))
  const files = notes.map(({ file }) => file).filter(file => file !== undefined)
  if (files.length === 0) return undefined
  const damaged = notes.filter(({ file }) => file === undefined).map(({ path }) => path)
  return { file: Math.max(...files), damaged }
}

/** Returns the file number in one copy; undefined if it is damaged, missing or another shard's. */
function readNote(disk: Disk, path: string, shard: number): number | undefined {
  const bytes = readIfReadable(disk, path)
  const note = bytes && (decodeSealedJson(bytes) as Newest | undefined)
  return note?.format === NEWEST_FORMAT && note.shard === shard ? note.file : undefined
}

function newestPaths(shard: number): [copyPath: string, path: string] {
  return [newestCopyPath(shard), newestPath(shard)]
}

/** Frees the files below `number`: keeps some for reuse, and removes the others. */
export function freeJournalFiles(disk: Disk, shard: number, number: number): void {
  const freed = listJournalFiles(disk, shard).filter(file => file < number)
  if (freed.length === 0) return
  const directory = shardPath(shard)
  const spares = disk.list(directory).filter(isSpare).sort()
  const kept = freed.slice(-SPARES_MAX)
  for (const file of freed) {
    if (kept.includes(file)) disk.rename(journalPath(shard, file), sparePath(shard, file))
    else disk.remove(journalPath(shard, file))
  }
  const surplus = spares.slice(0, Math.max(0, spares.length + kept.length - SPARES_MAX))
  for (const name of surplus) disk.remove(`${directory}/${name}`)
  disk.syncDirectory(directory)
}

/** Returns a shard's journal file numbers, ascending; none if the shard's directory is missing. */
export function listJournalFiles(disk: Disk, shard: number): number[] {
  return namesIn(disk, shardPath(shard))
    .map(journalNumber)
    .filter(number => number !== undefined)
    .sort((left, right) => left - right)
}

function namesIn(disk: Disk, directory: string): string[] {
  try {
    return disk.list(directory)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

/** The header of a journal file; undefined when it is damaged or of another format. */
export function readJournalHeader(
  disk: Disk,
  shard: number,
  number: number,
): JournalHeader | undefined {
  return withFile(disk, journalPath(shard, number), 'read', file => {
    const header = decodeJournalHeader(readFully(disk, file, 0, PAGE_BYTES))
    return header?.number === number && header.shard === shard ? header : undefined
  })
}

/** Finds a spare file of the right size. Its old blocks are stale, because their salt differs. */
function takeSpare(disk: Disk, header: JournalHeader): string | undefined {
  return disk
    .list(shardPath(header.shard))
    .filter(isSpare)
    .map(name => `${shardPath(header.shard)}/${name}`)
    .find(path => hasSize(disk, path, PAGE_BYTES + header.capacity))
}

/** Treats an unreadable file as one of another size, because a new file can replace it. */
function hasSize(disk: Disk, path: string, bytes: number): boolean {
  try {
    return withFile(disk, path, 'read', file => disk.size(file)) === bytes
  } catch (error) {
    if (error instanceof DiskError && !error.isForSpace) return false
    throw error
  }
}

function isSpare(name: string): boolean {
  return name.endsWith('.spare')
}
