import type { CheckpointerJob, CheckpointerResult } from '../../shared/protocol/checkpointer.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { prepareJournalFile } from '../journal/journal-files.ts'
import { CheckpointWriter } from './checkpoint-writer.ts'
import { rebuildIndex } from './offset-index.ts'
import { planRetention } from './retention-job.ts'
import { releaseSegments } from './trimmed-segments.ts'

/**
 * Carries out one job of a shard's checkpointer; a disk that fails is a result, not an exception.
 */
export function runJob(disk: Disk, shard: number, job: CheckpointerJob): CheckpointerResult {
  try {
    switch (job.kind) {
      case 'checkpoint':
        return new CheckpointWriter(disk, shard).run(job)
      case 'store':
        return { kind: 'store', id: job.id, extent: new CheckpointWriter(disk, shard).store(job) }
      case 'index':
        new CheckpointWriter(disk, shard).index(job.of)
        return { kind: 'index' }
      case 'prepare':
        return { ...job, isReused: prepareJournalFile(disk, job.file) }
      case 'retention':
        return planRetention(disk, job.streams, job.nowMicros)
      case 'release':
        return { kind: 'release', segments: releaseSegments(disk, job.trimmed) }
      case 'reindex':
        rebuildIndex(disk, job.directory, job.segment, job.bytes)
        return { kind: 'reindex' }
    }
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    const { isSync: final, isForSpace, message: reason } = error
    const failure = { kind: 'failed', job: job.kind, final, isForSpace, reason } as const
    return job.kind === 'store' ? { ...failure, id: job.id } : failure
  }
}
