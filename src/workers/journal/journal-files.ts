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
import { type Disk, DiskError } from '../disk/disk.ts'
import {
  readFully,
  withFile,
  writeFully,
  writeZeros,
  readWhole,
  replaceFile,
} from '../disk/files.ts'

// Journal files are made, and used again, under a name that no recovery reads; they get their
// number only when header and space are durable (faults.md, rule 10). A numbered file therefore
// always has a sound header, and blocks in it need no growth of the file to be durable.

const NEWEST_FORMAT = 1

/** The body of newest.json. */
type Newest = { readonly format: number; readonly file: number }

/**
 * Freed files kept for use again. The ones freed last are kept, for their size is the one wanted: a
 * file that was made larger for one block, or before the size was configured anew, goes in time.
 */
const SPARES_MAX = 2

/**
 * Puts a journal file in place, ready for blocks; an empty one of the same number gives way.
 * @returns whether it is a freed one, used again
 */
export function prepareJournalFile(disk: Disk, header: JournalHeader): boolean {
  const directory = shardPath(header.shard)
  const spare = takeSpare(disk, header)
  const path = spare ?? `${directory}/prepared.tmp`
  const bytes = PAGE_BYTES + header.capacity
  // Asked first, so that a full disk is not filled to its last byte and written to for nothing.
  if (spare === undefined && disk.freeBytes() < bytes) throw new DiskError('ENOSPC', 'write', path)
  withFile(disk, path, spare === undefined ? 'create' : 'update', file => {
    if (spare === undefined) writeZeros(disk, file, PAGE_BYTES, header.capacity)
    writeFully(disk, file, encodeJournalHeader(header), 0)
    disk.sync(file)
  })
  disk.rename(path, journalPath(header.shard, header.number))
  disk.syncDirectory(directory)
  const note = encodeSealedJson({ format: NEWEST_FORMAT, file: header.number })
  for (const path of newestPaths(header.shard)) replaceFile(disk, path, note)
  return spare !== undefined
}

/** What the two notes of the newest journal file say together. */
export type NewestFile = {
  /** Number of a file that was there. One more may be: notes are written after their file. */
  readonly file: number
  /** Notes that are damaged or missing; the next file that is prepared replaces both. */
  readonly damaged: readonly string[]
}

/**
 * Reads the notes of the newest journal file. No other file can stand in for them: a journal whose
 * newest files are lost looks like a shorter one.
 * @returns undefined where neither note is sound
 */
export function readNewest(disk: Disk, shard: number): NewestFile | undefined {
  const notes = newestPaths(shard).map(path => ({ path, file: readNote(disk, path) }))
  const files = notes.map(({ file }) => file).filter(file => file !== undefined)
  if (files.length === 0) return undefined
  const damaged = notes.filter(({ file }) => file === undefined).map(({ path }) => path)
  return { file: Math.max(...files), damaged }
}

function readNote(disk: Disk, path: string): number | undefined {
  if (!disk.exists(path)) return undefined
  const note = decodeSealedJson(readWhole(disk, path)) as Newest | undefined
  return note?.format === NEWEST_FORMAT ? note.file : undefined
}

function newestPaths(shard: number): string[] {
  return [newestCopyPath(shard), newestPath(shard)]
}

/** Retires the files below `number`: nothing in them is needed any more. */
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

/** Numbers of a shard's journal files, ascending. */
export function listJournalFiles(disk: Disk, shard: number): number[] {
  return disk
    .list(shardPath(shard))
    .map(journalNumber)
    .filter(number => number !== undefined)
    .sort((left, right) => left - right)
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

/** A spare of the very size, or none; its stale blocks bear another salt. */
function takeSpare(disk: Disk, header: JournalHeader): string | undefined {
  return disk
    .list(shardPath(header.shard))
    .filter(isSpare)
    .map(name => `${shardPath(header.shard)}/${name}`)
    .find(
      path =>
        withFile(disk, path, 'read', file => disk.size(file)) === PAGE_BYTES + header.capacity,
    )
}

function isSpare(name: string): boolean {
  return name.endsWith('.spare')
}
