import { parentPath, STREAMS_PATH } from '../../shared/format/paths.ts'
import { type Disk, DiskError } from '../disk/disk.ts'

const MISSING: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EISDIR'])
const ASIDE_MAX = 1000

/** Whether an error says that a file is missing, or that its path is of another kind. */
export function isMissing(error: unknown): error is DiskError {
  return error instanceof DiskError && MISSING.has(error.code)
}

/**
 * Renames the file or directory at `path` to a name that nothing reads, so that it can be examined
 * later. Returns whether it existed.
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
 * Makes a stream's directory and its parent where they are missing. Returns the directories to
 * sync, existing ones included: a process that died may have made them without a sync, so they may
 * be in the page cache alone.
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
