import type { JournalHeader } from '../../shared/format/journal-header.ts'
import type { EngineParts } from './engine-parts.ts'
import type { WriteBackFailures } from './write-back-failures.ts'

/** Has the next journal file prepared, one at a time, before the log buffer needs it. */
export class NextFile {
  readonly #parts: EngineParts
  readonly #failures: WriteBackFailures
  #isPreparing = false

  constructor(parts: EngineParts, failures: WriteBackFailures) {
    this.#parts = parts
    this.#failures = failures
  }

  /** Whether a file is being prepared. */
  get isPreparing(): boolean {
    return this.#isPreparing
  }

  /** Asks for the file that the log buffer wants, if any. */
  advance(nowMs: number): void {
    const { buffer, environment, postJob, shard } = this.#parts
    const wanted = buffer.fileWanted
    if (wanted === undefined || this.#isPreparing) return
    if (nowMs < this.#failures.retryAtMs('prepare')) return
    this.#isPreparing = true
    const salt = environment.randomBytes(16)
    postJob({ kind: 'prepare', file: { ...wanted, shard, epoch: buffer.epoch, salt } })
  }

  onPrepared(file: JournalHeader, isReused: boolean): void {
    this.#isPreparing = false
    this.#parts.buffer.offerFile(file, isReused)
  }

  /** Notes that the job failed; `advance` sends it again after its retry delay. */
  abandon(): void {
    this.#isPreparing = false
  }
}
