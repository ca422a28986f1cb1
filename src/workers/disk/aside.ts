import { type Disk, DiskError } from './disk.ts'

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

/** Returns what `act` returns, which puts a file at `path`; a directory there is set aside. */
export function overDirectory<Result>(disk: Disk, path: string, act: () => Result): Result {
  try {
    return act()
  } catch (error) {
    if (!(error instanceof DiskError) || error.code !== 'EISDIR') throw error
  }
  setAside(disk, path)
  return act()
}

export function isDirectory(disk: Disk, path: string): boolean {
  if (!disk.exists(path)) return false
  try {
    disk.list(path)
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}
