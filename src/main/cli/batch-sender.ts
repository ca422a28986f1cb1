import { setTimeout as sleepFor } from 'node:timers/promises'
import type { Outcome } from '../../shared/errors.ts'
import type { RecordFormat } from '../../shared/format/record.ts'
import type { AppendAnswer } from '../../shared/schemas/append.ts'
import { type Batch, BatchBuilder, type BatchBounds } from './batch-builder.ts'
import { type Client, ConnectionFailure, ProblemFailure, streamPath } from './client.ts'

// One request is in flight at a time, and the next batch fills meanwhile: so the order is that of
// the input without the help of expected offsets, which would shut out other writers, and a failure
// leaves one batch in doubt at most. Whatever has collected goes out as soon as the request before
// is answered, so a slow input is passed on at once and a fast one in large batches.

/** Of a request: milliseconds of work for a server, so that one at a time keeps it busy. */
export const BATCH_BYTES = 512 * 1024
const RETRY_DEFAULT_MS = 1000
/** Waits for one batch, in sum, after which it is given up. */
const RETRY_MS_MAX = 60_000

export type SenderOptions = BatchBounds & {
  readonly client: Client
  readonly stream: string
  readonly durability: string | undefined
  /** Of the first record; the ones after must then follow without a gap. */
  readonly expectedOffset: number | undefined
  readonly onProgress: (appended: Appended) => void
  /** Called once; everything after is refused. */
  readonly onFailure: (failure: Error) => void
  readonly sleep?: (ms: number) => Promise<unknown>
}

/** What the server has answered for. */
export type Appended = {
  records: number
  /** Of bodies. */
  bytes: number
  firstOffset: number | undefined
  nextOffset: number | undefined
  /** Whether all of it was on stable storage when it was answered. */
  durable: boolean
}

/** Why a sender stopped, and what became of the batch it was sending. */
export type SendFailure = {
  readonly error: Error
  readonly outcome: Outcome
  readonly batch: Batch
}

export class BatchSender {
  readonly #options: SenderOptions
  readonly #builder: BatchBuilder
  readonly #appended: Appended = {
    records: 0,
    bytes: 0,
    firstOffset: undefined,
    nextOffset: undefined,
    durable: true,
  }
  #sending: Promise<void> | undefined
  #failure: SendFailure | undefined

  constructor(options: SenderOptions) {
    this.#options = options
    this.#builder = new BatchBuilder(options)
  }

  get appended(): Readonly<Appended> {
    return this.#appended
  }

  get failure(): SendFailure | undefined {
    return this.#failure
  }

  /** Takes a record, copied; waits while there is no room. @throws what ended the sending */
  async add(format: RecordFormat, body: Buffer): Promise<void> {
    while (!this.#builder.fits(body.length)) {
      this.offer()
      await this.#sending
      this.#throwFailure()
    }
    this.#builder.add(format, body)
  }

  /** Sends what has collected, unless a request is in flight, whose end does it. */
  offer(): void {
    if (this.#sending !== undefined || this.#failure !== undefined || this.#builder.count === 0) {
      return
    }
    this.#sending = this.#send(this.#builder.take()).then(() => {
      this.#sending = undefined
      this.offer()
    })
  }

  /** Sends the rest. @throws what ended the sending */
  async finish(): Promise<void> {
    this.offer()
    while (this.#sending !== undefined) await this.#sending
    this.#throwFailure()
  }

  /** Waits for the request in flight and sends no more. */
  async stop(): Promise<void> {
    this.#builder.take()
    while (this.#sending !== undefined) await this.#sending
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }

  async #send(batch: Batch): Promise<void> {
    try {
      const answer = await this.#sendPatiently(batch)
      const appended = this.#appended
      appended.records += answer.count
      appended.bytes += batch.bodyBytes
      appended.firstOffset ??= answer.firstOffset
      appended.nextOffset = answer.nextOffset
      appended.durable &&= answer.durable
      this.#options.onProgress(appended)
    } catch (error) {
      this.#failure = { error: error as Error, outcome: outcomeOf(error), batch }
      this.#options.onFailure(error as Error)
    }
  }

  /** Sends it again only where the server says that it has not applied it. */
  async #sendPatiently(batch: Batch): Promise<AppendAnswer> {
    const { sleep = sleepFor } = this.#options
    let waitedMs = 0
    for (;;) {
      try {
        return await this.#post(batch)
      } catch (error) {
        if (!(error instanceof ProblemFailure)) throw error
        const { problem, retryAfterMs = RETRY_DEFAULT_MS } = error
        const isBusy = problem.status === 429 || problem.status === 503
        if (!isBusy || problem['outcome'] !== 'not_applied') throw error
        waitedMs += retryAfterMs
        if (waitedMs > RETRY_MS_MAX) throw error
        await sleep(retryAfterMs)
      }
    }
  }

  #post({ bytes }: Batch): Promise<AppendAnswer> {
    const { client, stream, durability, expectedOffset } = this.#options
    const expected =
      expectedOffset === undefined ? undefined : (this.#appended.nextOffset ?? expectedOffset)
    return client.requestJson<AppendAnswer>({
      method: 'POST',
      path: streamPath(stream, '/records'),
      query: { durability, expectedOffset: expected },
      headers: { 'content-type': 'application/vnd.varve.batch' },
      body: bytes,
    })
  }
}

/** What became of the append that met `error`. */
function outcomeOf(error: unknown): Outcome {
  if (error instanceof ConnectionFailure) return error.isRefused ? 'not_applied' : 'unknown'
  if (!(error instanceof ProblemFailure)) return 'unknown'
  const { status, outcome } = error.problem
  if (outcome === 'not_applied' || outcome === 'unknown') return outcome
  return status < 500 ? 'not_applied' : 'unknown'
}
