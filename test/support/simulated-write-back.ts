import type { CheckpointerJob, CheckpointerResult } from '../../src/shared/protocol/checkpointer.ts'
import { CopyFaults } from '../../src/workers/disk/copy-faults.ts'
import { type Disk, DiskError } from '../../src/workers/disk/disk.ts'
import type { Steps, SyncStep } from '../../src/workers/disk/sync-steps.ts'
import type { RecoveredShard } from '../../src/workers/recovery/open-shard.ts'
import { jobSteps } from '../../src/workers/streams/checkpointer-job.ts'
import type { Random } from './random.ts'

type Running = {
  readonly kind: CheckpointerJob['kind']
  readonly steps: Steps<CheckpointerResult>
  /** What it waits for to become durable. */
  step: SyncStep | undefined
}

/** What a job has come to, of its kind. */
export type JobEnd = {
  readonly kind: CheckpointerJob['kind']
  readonly result: CheckpointerResult
}

/** The write-back of one shard, job by job and step by step. */
export class SimulatedWriteBack {
  readonly #disk: Disk
  readonly #shard: number
  readonly #random: Random
  readonly #jobs: CheckpointerJob[] = []
  #running: Running | undefined
  readonly #faults: CopyFaults

  constructor(disk: Disk, shard: number, random: Random, copyFaults: RecoveredShard['copyFaults']) {
    this.#faults = new CopyFaults(copyFaults)
    this.#disk = disk
    this.#shard = shard
    this.#random = random
  }

  post(job: CheckpointerJob): void {
    this.#jobs.push(job)
  }

  /**
   * Goes on to where something must become durable; the next call makes it so, in any order, and
   * goes on from there. Returns the job that has ended, undefined while none has.
   */
  step(): JobEnd | undefined {
    this.#running ??= this.#begin()
    const running = this.#running
    if (running === undefined) return undefined
    const next = this.#advance(running)
    if (next.done !== true) {
      running.step = next.value
      return undefined
    }
    this.#running = undefined
    return { kind: running.kind, result: next.value }
  }

  /** Runs the job under way, or the next one, to its end; undefined when there is none. */
  run(): JobEnd | undefined {
    for (;;) {
      const end = this.step()
      if (end !== undefined || this.#running === undefined) return end
    }
  }

  #begin(): Running | undefined {
    const job = this.#jobs.shift()
    if (job === undefined) return undefined
    return {
      kind: job.kind,
      steps: jobSteps(this.#disk, this.#shard, job, this.#faults),
      step: undefined,
    }
  }

  #advance({ steps, step }: Running): IteratorResult<SyncStep, CheckpointerResult> {
    if (step === undefined) return steps.next()
    const syncs = [
      ...step.files.map(file => () => this.#disk.sync(file)),
      ...step.directories.map(path => () => this.#disk.syncDirectory(path)),
    ]
    let failure: { readonly error: DiskError } | undefined
    while (syncs.length > 0) {
      const [sync] = syncs.splice(this.#random.below(syncs.length), 1)
      try {
        sync?.()
      } catch (error) {
        if (!(error instanceof DiskError)) throw error
        // The others were under way already. A failed sync counts before a missing directory.
        if (failure === undefined || error.isSync) failure = { error }
      }
    }
    return failure === undefined ? steps.next() : steps.throw(failure.error)
  }
}
