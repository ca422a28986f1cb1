import type {
  CheckpointerJob,
  CheckpointerResult,
  FailedJob,
} from '../../shared/protocol/checkpointer.ts'
import type { StreamDamage } from '../../shared/protocol/streams.ts'
import { CopyFaults } from '../disk/copy-faults.ts'
import type { Disk, DiskError } from '../disk/disk.ts'
import { runSteps, type Steps } from '../disk/sync-steps.ts'
import { prepareJournalFile } from '../journal/journal-files.ts'
import { CheckpointWriter } from './checkpoint-writer.ts'
import { rebuildIndex } from './offset-index.ts'
import { diskErrorOf, StreamWriter } from './stream-writer.ts'
import { planRetention } from './retention-job.ts'
import { releaseSegments } from './trimmed-segments.ts'

/**
 * Returns the steps of one job of a shard's write-back thread. A failed disk call becomes a
 * `failed` result, not an exception.
 * @param faults the second copies that cannot be written; the same object for all jobs
 */
export function* jobSteps(
  disk: Disk,
  shard: number,
  job: CheckpointerJob,
  faults: CopyFaults,
): Steps<CheckpointerResult> {
  const writer = new CheckpointWriter(disk, shard, faults)
  try {
    switch (job.kind) {
      case 'checkpoint':
        return yield* writer.run(job)
      case 'store': {
        const extent = yield* writer.store(job)
        const { damage, notes } = writer
        return { kind: 'store', id: job.id, extent, damage, notes }
      }
      case 'index':
        return {
          kind: 'index',
          notes: asNotes(() => new StreamWriter(disk, 'index').index(job.of)),
        }
      case 'prepare':
        return { ...job, isReused: prepareJournalFile(disk, job.file, faults) }
      case 'retention':
        return planRetention(disk, job.streams, job.nowMicros)
      case 'release':
        return yield* releaseSegments(disk, job.trimmed)
      case 'reindex': {
        const { directory, segment, bytes, firstOffset } = job
        const notes = asNotes(() => rebuildIndex(disk, directory, segment, bytes, firstOffset))
        return { kind: 'reindex', notes }
      }
    }
  } catch (error) {
    const diskError = diskErrorOf(error)
    if (diskError === undefined) throw error
    return failure(job, diskError, writer.damage)
  }
}

/** Carries out one job, one sync after the other. */
export function runJob(disk: Disk, shard: number, job: CheckpointerJob): CheckpointerResult {
  return runSteps(disk, jobSteps(disk, shard, job, new CopyFaults()))
}

function failure(
  job: CheckpointerJob,
  error: DiskError,
  damage: readonly StreamDamage[],
): FailedJob {
  const { isSync: final, isForSpace, message: reason } = error
  const failed = { kind: 'failed', job: job.kind, final, isForSpace, reason, damage } as const
  return job.kind === 'store' ? { ...failed, id: job.id } : failed
}

/**
 * Writes an index by `act`, and returns a note where the disk fails: an index is a cache, and a
 * reader that misses it has it rebuilt.
 */
function asNotes(act: () => void): string[] {
  try {
    act()
    return []
  } catch (error) {
    const diskError = diskErrorOf(error)
    if (diskError === undefined) throw error
    return [diskError.message]
  }
}
