import { segmentNumber, streamPath } from '../../shared/format/paths.ts'
import type { ReleaseDone, TrimmedStream } from '../../shared/protocol/checkpointer.ts'
import type { Disk } from '../disk/disk.ts'
import type { Steps } from '../disk/sync-steps.ts'
import type { LiveEntry } from './catalogue-file.ts'
import { Removal } from './removal.ts'

/**
 * Removes the segments that streams no longer keep; only once the commit that says so is durable.
 * Durable when it ends, so that what a crash leaves is at most of the last journal checkpoint. What
 * cannot be removed is said, and counts for nothing where it lies.
 */
export function* releaseSegments(
  disk: Disk,
  trimmed: readonly TrimmedStream[],
): Steps<ReleaseDone> {
  const removal = new Removal(disk)
  for (const { directory, firstSegment } of trimmed) {
    removal.remove(directory, name => {
      const number = segmentNumber(name)
      return number !== undefined && number < firstSegment
    })
  }
  const segments = removal.removed.filter(path => path.endsWith('.log')).length
  yield* removal.settle()
  return { kind: 'release', segments, notes: removal.notes }
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
