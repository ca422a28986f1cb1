import type { Disk } from './disk.ts'

// A job of the write-back is a generator of steps: between two of them something has to become
// durable. The steps say what, and whoever drives them how: the real thread syncs many files at
// once, a simulation one after the other.

/** What has to be durable before the job goes on; all of it may be synced at once. */
export type SyncStep = {
  /** Open files, still open since they were written. */
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

/** Drives the steps of a job to its end by `sync`, which makes one step durable. */
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
