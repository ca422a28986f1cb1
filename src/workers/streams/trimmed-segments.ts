import { segmentNumber, streamPath } from '../../shared/format/paths.ts'
import type { TrimmedStream } from '../../shared/protocol/checkpointer.ts'
import type { Disk } from '../disk/disk.ts'
import type { LiveEntry } from './catalogue-file.ts'

/** From so many directories on, one sync of the file system is cheaper. */
const SYNC_ALL_FROM = 16

/**
 * Removes the segments that streams no longer keep; only once the commit that says so is durable.
 * Durable when it returns, so that what a crash leaves is at most of the last journal checkpoint.
 * Returns how many segments went.
 */
export function releaseSegments(disk: Disk, trimmed: readonly TrimmedStream[]): number {
  let segments = 0
  const changed: string[] = []
  for (const { directory, firstSegment } of trimmed) {
    if (!disk.exists(directory)) continue // its stream was deleted
    const files = disk.list(directory).filter(name => {
      const number = segmentNumber(name)
      return number !== undefined && number < firstSegment
    })
    for (const name of files) disk.remove(`${directory}/${name}`)
    segments += files.filter(name => name.endsWith('.log')).length
    if (files.length > 0) changed.push(directory)
  }
  if (changed.length < SYNC_ALL_FROM || !disk.syncAll()) {
    for (const directory of changed) disk.syncDirectory(directory)
  }
  return segments
}

/** The streams whose trimmed segments a crash may have left: those of the last checkpoint. */
export function trimmedLast(
  live: readonly LiveEntry[],
  lastCheckpointAt: number,
): readonly TrimmedStream[] {
  return live
    .filter(({ at, stream }) => at >= lastCheckpointAt && stream.firstSegment > 0)
    .map(({ stream }) => ({
      directory: streamPath(stream.name, stream.streamId),
      firstSegment: stream.firstSegment,
    }))
}
