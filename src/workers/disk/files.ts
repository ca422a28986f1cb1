import { assert } from '../../shared/assert.ts'
import { parentPath } from '../../shared/format/paths.ts'
import { overDirectory } from './aside.ts'
import { type Disk, DiskError, type FileMode } from './disk.ts'

/** Runs `use` with the file open. */
export function withFile<Result>(
  disk: Disk,
  path: string,
  mode: FileMode,
  use: (file: number) => Result,
): Result {
  const file = disk.open(path, mode)
  try {
    return use(file)
  } finally {
    disk.close(file)
  }
}

/** Writes all of `source`, in as many writes as it takes (faults.md, rule 2). */
export function writeFully(disk: Disk, file: number, source: Buffer, position: number): void {
  let done = 0
  while (done < source.length) {
    const rest = done === 0 ? source : source.subarray(done)
    const written = disk.write(file, rest, position + done)
    if (written === 0) throw new DiskError('ENOSPC', 'write', `file ${file}`)
    done += written
  }
}

/** Reads up to `length` bytes; fewer only at the end of the file. */
export function readFully(disk: Disk, file: number, position: number, length: number): Buffer {
  const target = Buffer.allocUnsafe(length)
  let done = 0
  while (done < length) {
    const count = disk.read(file, done === 0 ? target : target.subarray(done), position + done)
    if (count === 0) break
    done += count
  }
  return done === length ? target : target.subarray(0, done)
}

export function readWhole(disk: Disk, path: string): Buffer {
  return withFile(disk, path, 'read', file => readFully(disk, file, 0, disk.size(file)))
}

/**
 * Returns a whole file; undefined if it is missing or the disk cannot read it.
 * @throws DiskError if no file descriptor is left
 */
export function readIfReadable(disk: Disk, path: string): Buffer | undefined {
  try {
    return readWhole(disk, path)
  } catch (error) {
    if (error instanceof DiskError && !error.isForSpace) return undefined
    throw error
  }
}

/** Fills `[position, position + length)` with zeros. */
export function writeZeros(disk: Disk, file: number, position: number, length: number): void {
  const zeros = Buffer.alloc(Math.min(length, 1024 * 1024))
  for (let done = 0; done < length; done += zeros.length) {
    writeFully(disk, file, zeros.subarray(0, length - done), position + done)
  }
}

/**
 * Puts a file in place whole or not at all: temporary file, sync, rename, directory sync
 * (faults.md, rule 10). Only after it returns may anything depend on the file. A directory in its
 * place is set aside.
 */
export function replaceFile(disk: Disk, path: string, content: Buffer): void {
  const temporary = `${path}.tmp`
  const write = (file: number) => {
    writeFully(disk, file, content, 0)
    disk.sync(file)
  }
  overDirectory(disk, temporary, () => withFile(disk, temporary, 'create', write))
  overDirectory(disk, path, () => disk.rename(temporary, path))
  disk.syncDirectory(parentPath(path))
}

/**
 * Creates the directories along `path` that are missing. Each is durable in its parent when this
 * returns, one that was there too: it may be known from the page cache alone.
 */
export function makeDirectories(disk: Disk, path: string): void {
  assert(path !== '', 'the data directory itself exists')
  const parent = parentPath(path)
  if (parent !== '') makeDirectories(disk, parent)
  if (!disk.exists(path)) disk.makeDirectory(path)
  disk.syncDirectory(parent)
}

/** Removes a directory of files. */
export function removeTree(disk: Disk, path: string): void {
  for (const name of disk.list(path)) disk.remove(`${path}/${name}`)
  disk.removeDirectory(path)
}
