import { parentPath, STREAMS_PATH } from '../../shared/format/paths.ts'
import { isDirectory, isMissing, setAside } from '../disk/aside.ts'
import type { Disk } from '../disk/disk.ts'
import type { OpenFiles } from '../disk/open-files.ts'

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

/**
 * Creates a file in a stream's directory. Where the directory is missing or a file, it is made
 * again, and what is in the place of the file is set aside.
 * @returns the open file, and the directories to sync for it
 */
export function createFile(
  disk: Disk,
  files: OpenFiles,
  directory: string,
  path: string,
): { readonly file: number; readonly made: readonly string[] } {
  try {
    return { file: files.open(path, 'create'), made: [] }
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  const made = makeStreamDirectory(disk, directory)
  setAside(disk, path)
  return { file: files.open(path, 'create'), made }
}
