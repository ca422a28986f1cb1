import type { CheckpointerJob } from '../../shared/protocol/checkpointer.ts'

/** How long after its failure a job is sent again. */
const RETRY_MS = 1000

/** The jobs that the engine sends again by itself, because the journal's room depends on them. */
export type RetriedJob = Extract<CheckpointerJob['kind'], 'prepare' | 'checkpoint'>

type Failure = {
  readonly reason: string
  readonly isForSpace: boolean
  /** When the job may be sent again, ms. */
  readonly retryAtMs: number
}

/**
 * Keeps the last failure of each kind of write-back job. Only jobs that the engine retries count as
 * failing, because no other failure would ever be ended by a success. None holds another job back.
 */
export class WriteBackFailures {
  readonly #failures = new Map<CheckpointerJob['kind'], Failure>()

  /** Notes a failure. Returns whether its reason differs from the job's last one. */
  note(
    job: CheckpointerJob['kind'],
    { reason, isForSpace }: Pick<Failure, 'reason' | 'isForSpace'>,
    nowMs: number,
  ): boolean {
    const isNews = this.#failures.get(job)?.reason !== reason
    this.#failures.set(job, { reason, isForSpace, retryAtMs: nowMs + RETRY_MS })
    return isNews
  }

  noteSuccess(job: CheckpointerJob['kind']): void {
    this.#failures.delete(job)
  }

  has(job: RetriedJob): boolean {
    return this.#failures.has(job)
  }

  /** Whether a job fails for another reason than want of space or of file descriptors. */
  isOther(job: RetriedJob): boolean {
    return this.#failures.get(job)?.isForSpace === false
  }

  /** When a job may be sent (again), ms. */
  retryAtMs(job: RetriedJob): number {
    return this.#failures.get(job)?.retryAtMs ?? 0
  }

  /** Whether a retried job fails for want of disk space or of file descriptors. */
  get areForSpace(): boolean {
    return this.#retried.some(({ isForSpace }) => isForSpace)
  }

  /** Whether a retried job fails for another reason. */
  get areOther(): boolean {
    return this.#retried.some(({ isForSpace }) => !isForSpace)
  }

  /** When to send one of these jobs again, ms; undefined while none of them fails. */
  deadline(jobs: readonly RetriedJob[]): number | undefined {
    const times = jobs.filter(job => this.has(job)).map(job => this.retryAtMs(job))
    return times.length > 0 ? Math.min(...times) : undefined
  }

  get #retried(): Failure[] {
    return [...this.#failures].filter(([job]) => isRetried(job)).map(([, failure]) => failure)
  }
}

function isRetried(job: CheckpointerJob['kind']): job is RetriedJob {
  return job === 'prepare' || job === 'checkpoint'
}
