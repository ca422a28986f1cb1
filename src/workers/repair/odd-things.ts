import {
  manifestPath,
  parentPath,
  QUARANTINE_PATH,
  segmentNumber,
  streamPath,
} from '../../shared/format/paths.ts'
import { isDirectory } from '../disk/aside.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { makeDirectories } from '../disk/files.ts'
import type { Environment } from '../environment.ts'
import type { StreamLog } from '../streams/stream-log.ts'

/**
 * Moves to quarantine what is of the wrong kind among the files of streams: a file in the place of
 * a directory, or a directory in the place of a segment, an index or a manifest. Returns what could
 * not be moved, and why. @throws DiskError for want of space, and where a sync fails
 */
export function quarantineOdd(
  disk: Disk,
  environment: Environment,
  logs: Iterable<StreamLog>,
): string[] {
  const unmended: string[] = []
  const attempt = <Result>(act: () => Result): Result | undefined => {
    try {
      return act()
    } catch (error) {
      if (!(error instanceof DiskError) || error.isSync || error.isForSpace) throw error
      unmended.push(error.message)
      return undefined
    }
  }
  const odd = [...logs].flatMap(
    ({ name, id }) => attempt(() => oddPaths(disk, streamPath(name, id))) ?? [],
  )
  if (odd.length === 0) return unmended
  const kept = `${QUARANTINE_PATH}/streams-${environment.nowMicros()}`
  makeDirectories(disk, kept)
  for (const path of odd) {
    attempt(() => {
      disk.rename(path, `${kept}/${path.replaceAll('/', '--')}`)
      disk.syncDirectory(kept)
      disk.syncDirectory(parentPath(path))
    })
  }
  return unmended
}

function oddPaths(disk: Disk, directory: string): string[] {
  if (!disk.exists(directory)) return []
  if (!isDirectory(disk, directory)) return [directory]
  return disk
    .list(directory)
    .filter(name => segmentNumber(name) !== undefined || name === manifestPath('').slice(1))
    .map(name => `${directory}/${name}`)
    .filter(path => isDirectory(disk, path))
}
