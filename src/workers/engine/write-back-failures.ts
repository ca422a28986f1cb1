import type { CheckpointerJob } from '../../shared/protocol/checkpointer.ts'

/** How long after its failure a job is sent again. */
const RETRY_MS = 1000

/** The jobs that the engine sends again by itself, because the journal's room depends on them. */
type RetriedJob = Extract<CheckpointerJob['kind'], 'prepare' | 'checkpoint'>

type Failure = { readonly reason: string; readonly isForSpace: boolean }

/**
 * Which jobs of the write-back failed when they were last carried out. A job that nobody sends
 * again does not count: only its success would end the failure.
 */
export class WriteBackFailures {
  readonly #failures = new Map<CheckpointerJob['kind'], Failure>()
  /** When failed jobs may be sent again, ms. */
  retryAtMs = 0

  /** Notes a failure. Returns whether it is another one than the job's last. */
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

  /** Whether room on the disk, or a file descriptor, is what is missing. */
  get areForSpace(): boolean {
    return this.#retried.some(({ isForSpace }) => isForSpace)
  }

  /** Whether the journal cannot get more room for another reason. */
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
