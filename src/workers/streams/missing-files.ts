import { parentPath, STREAMS_PATH } from '../../shared/format/paths.ts'
import { type Disk, DiskError } from '../disk/disk.ts'

const MISSING: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EISDIR'])
const ASIDE_MAX = 1000

/** Whether an error says that a file is not there, or something else in its place. */
export function isMissing(error: unknown): error is DiskError {
  return error instanceof DiskError && MISSING.has(error.code)
}

/**
 * Moves what lies at `path` out of the way under a name that counts for nothing, so that it can be
 * looked at later. Returns whether there was something.
 */
export function setAside(disk: Disk, path: string): boolean {
  if (!disk.exists(path)) return false
  for (let copy = 1; copy < ASIDE_MAX; copy += 1) {
    const target = `${path}.aside-${copy}`
    if (disk.exists(target)) continue
    disk.rename(path, target)
    return true
  }
  throw new DiskError('EEXIST', 'rename', path)
}

/**
 * Makes a stream's directory, and the one that it lies in, where they are missing. Returns the
 * directories whose names have to be synced, those of directories that were there too: a process
 * that died may have made them, so that they are known from the page cache alone.
 */
export function makeStreamDirectory(disk: Disk, directory: string): string[] {
  const prefix = parentPath(directory)
  for (const path of [prefix, directory]) {
    if (isDirectory(disk, path)) continue
    setAside(disk, path)
    disk.makeDirectory(path)
  }
  return [directory, prefix, STREAMS_PATH]
}

function isDirectory(disk: Disk, path: string): boolean {
  if (!disk.exists(path)) return false
  try {
    disk.list(path)
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}
