import type { CheckpointerJob } from '../../shared/protocol/checkpointer.ts'

/** How long after its failure a job is sent again. */
const RETRY_MS = 1000

/** The jobs that the engine sends again by itself, because the journal's room depends on them. */
type RetriedJob = Extract<CheckpointerJob['kind'], 'prepare' | 'checkpoint'>

type Failure = { readonly reason: string; readonly isForSpace: boolean }

/**
 * Keeps the last failure of each kind of write-back job. Only jobs that the engine retries count as
 * failing, because no other failure would ever be ended by a success.
 */
export class WriteBackFailures {
  readonly #failures = new Map<CheckpointerJob['kind'], Failure>()
  /** When failed jobs may be sent again, ms. */
  retryAtMs = 0

  /** Notes a failure. Returns whether its reason differs from the job's last one. */
  note(job: CheckpointerJob['kind'], failure: Failure, nowMs: number): boolean {
    const isNews = this.#failures.get(job)?.reason !== failure.reason
    this.#failures.set(job, failure)
    if (isRetried(job)) this.retryAtMs = nowMs + RETRY_MS
    return isNews
  }

  noteSuccess(job: CheckpointerJob['kind']): void {
    this.#failures.delete(job)
  }

  has(job: RetriedJob): boolean {
    return this.#failures.has(job)
  }

  /** Whether a retried job fails for want of disk space or of file descriptors. */
  get areForSpace(): boolean {
    return this.#retried.some(({ isForSpace }) => isForSpace)
  }

  /** Whether a retried job fails for another reason. */
  get areOther(): boolean {
    return this.#retried.some(({ isForSpace }) => !isForSpace)
  }

  /** When to try again, ms; undefined while nothing that is retried has failed. */
  get deadline(): number | undefined {
    return this.#retried.length > 0 ? this.retryAtMs : undefined
  }

  get #retried(): Failure[] {
    return [...this.#failures].filter(([job]) => isRetried(job)).map(([, failure]) => failure)
  }
}

function isRetried(job: CheckpointerJob['kind']): job is RetriedJob {
  return job === 'prepare' || job === 'checkpoint'
}
