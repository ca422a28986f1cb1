import type { Disk } from './disk.ts'

// A job of the write-back is a generator. It yields the files and directories that must be durable
// before its next step. The real thread syncs them concurrently, a simulation one after the other.

/** The files and directories to sync before the job continues, in any order or at once. */
export type SyncStep = {
  /** Descriptors that stayed open since the write. */
  readonly files: readonly number[]
  /** Paths of directories whose names changed. */
  readonly directories: readonly string[]
}

export type Steps<Result> = Generator<SyncStep, Result, void>

/** Drives the steps of a job to its end, one sync after the other. */
export function runSteps<Result>(disk: Disk, steps: Steps<Result>): Result {
  for (let next = steps.next(); ; ) {
    if (next.done === true) return next.value
    const { files, directories } = next.value
    try {
      for (const file of files) disk.sync(file)
      for (const path of directories) disk.syncDirectory(path)
    } catch (error) {
      next = steps.throw(error)
      continue
    }
    next = steps.next()
  }
}

/** Drives the steps of a job to its end. @param sync makes everything of one step durable */
export async function runStepsTogether<Result>(
  sync: (step: SyncStep) => Promise<void>,
  steps: Steps<Result>,
): Promise<Result> {
  for (let next = steps.next(); ; ) {
    if (next.done === true) return next.value
    try {
      await sync(next.value)
    } catch (error) {
      next = steps.throw(error)
      continue
    }
    next = steps.next()
  }
}
