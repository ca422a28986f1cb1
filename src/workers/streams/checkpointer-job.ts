import type { CheckpointerJob, CheckpointerResult } from '../../shared/protocol/checkpointer.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { prepareJournalFile } from '../journal/journal-files.ts'
import { CheckpointWriter } from './checkpoint-writer.ts'
import { rebuildIndex } from './offset-index.ts'

/**
 * Carries out one job of a shard's checkpointer; a disk that fails is a result, not an exception.
 */
export function runJob(disk: Disk, shard: number, job: CheckpointerJob): CheckpointerResult {
  try {
    switch (job.kind) {
      case 'checkpoint':
        return new CheckpointWriter(disk, shard).run(job)
      case 'prepare':
        prepareJournalFile(disk, job.file)
        return { kind: 'prepare', file: job.file }
      case 'reindex':
        rebuildIndex(disk, job.directory, job.segment, job.bytes)
        return { kind: 'reindex' }
    }
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    const final = error.isSync || !error.isForSpace
    return { kind: 'failed', job: job.kind, final, reason: error.message }
  }
}
