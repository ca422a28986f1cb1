import type { EngineParts } from './engine-parts.ts'
import { COMMIT_MICROS_MAX } from './trusted-clock.ts'
import type { WriteBackFailures } from './write-back-failures.ts'

/** How often a write-back retries unwritten records if nothing else is due. */
const UNWRITTEN_RETRY_MS = 5000

/** Decides when a write-back is due. */
export class WriteBackTimes {
  readonly #parts: Pick<EngineParts, 'checkpoint' | 'options' | 'environment' | 'clock'>
  readonly #failures: WriteBackFailures
  /** When the first change after the last write-back came, ms. */
  #dirtySinceMs: number | undefined
  /** When unwritten records are due for a retry, ms. */
  #unwrittenDueMs: number | undefined

  constructor(
    parts: Pick<EngineParts, 'checkpoint' | 'options' | 'environment' | 'clock'>,
    failures: WriteBackFailures,
  ) {
    this.#parts = parts
    this.#failures = failures
    // Replayed records count as new.
    const now = parts.environment.monotonicMs()
    this.noteDirty(now)
    if (parts.checkpoint.hasUnwritten) this.#unwrittenDueMs = now
  }

  /** Notes that some stream may have changed. */
  noteDirty(nowMs: number): void {
    if (this.#parts.checkpoint.isDirty) this.#dirtySinceMs ??= nowMs
  }

  noteStart(): void {
    this.#dirtySinceMs = undefined
    this.#unwrittenDueMs = undefined
  }

  noteEnd(): void {
    const { checkpoint, environment } = this.#parts
    const now = environment.monotonicMs()
    this.#dirtySinceMs = checkpoint.isDirty ? now : undefined
    this.#unwrittenDueMs = checkpoint.hasUnwritten ? now + UNWRITTEN_RETRY_MS : undefined
  }

  /** Notes that a write-back failed; it may be sent again after its retry delay. */
  noteFailure(nowMs: number): void {
    this.#dirtySinceMs ??= nowMs
    if (this.#parts.checkpoint.hasUnwritten) this.#unwrittenDueMs = nowMs
  }

  /** @param usedBytes of the journal since the last write-back */
  isDue(nowMs: number, usedBytes: number, isStopping: boolean): boolean {
    const { checkpoint, options } = this.#parts
    const isWanted = isStopping || this.#failures.has('checkpoint')
    return (
      usedBytes >= options.journalBytesMax / 4 ||
      (isWanted && checkpoint.isDirty) ||
      nowMs >= add(this.#dirtySinceMs, options.checkpointIntervalMs) ||
      nowMs >= add(this.#unwrittenDueMs, 0) ||
      this.#clockMs <= 0
    )
  }

  /** The times at which a write-back falls due, ms. */
  get deadlines(): number[] {
    const { environment, options } = this.#parts
    const retryAtMs = this.#failures.retryAtMs('checkpoint')
    const times = [
      add(this.#dirtySinceMs, options.checkpointIntervalMs),
      add(this.#unwrittenDueMs, 0),
      environment.monotonicMs() + this.#clockMs,
    ]
    return times.filter(Number.isFinite).map(time => Math.max(time, retryAtMs))
  }

  /** Time until a commit is due only to record the trusted clock, ms. */
  get #clockMs(): number {
    const { clock, checkpoint } = this.#parts
    return (checkpoint.clockMicros + COMMIT_MICROS_MAX - clock.reached) / 1000
  }
}

function add(since: number | undefined, delay: number): number {
  return since === undefined ? Number.POSITIVE_INFINITY : since + delay
}
