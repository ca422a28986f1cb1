import {
  manifestPath,
  parentPath,
  QUARANTINE_PATH,
  segmentNumber,
  streamPath,
} from '../../shared/format/paths.ts'
import { isDirectory } from '../disk/aside.ts'
import type { Disk } from '../disk/disk.ts'
import { makeDirectories } from '../disk/files.ts'
import type { Environment } from '../environment.ts'
import type { StreamLog } from '../streams/stream-log.ts'

/**
 * Moves to quarantine what is of the wrong kind among the files of streams: a file in the place of
 * a directory, or a directory in the place of a segment, an index or a manifest.
 * @throws DiskError
 */
export function quarantineOdd(
  disk: Disk,
  environment: Environment,
  logs: Iterable<StreamLog>,
): void {
  const odd = [...logs].flatMap(({ name, id }) => oddPaths(disk, streamPath(name, id)))
  if (odd.length === 0) return
  const kept = `${QUARANTINE_PATH}/streams-${environment.nowMicros()}`
  makeDirectories(disk, kept)
  for (const path of odd) {
    disk.rename(path, `${kept}/${path.replaceAll('/', '--')}`)
    disk.syncDirectory(kept)
    disk.syncDirectory(parentPath(path))
  }
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
