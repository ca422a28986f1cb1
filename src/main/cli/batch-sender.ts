import { setTimeout as sleepFor } from 'node:timers/promises'
import type { Outcome } from '../../shared/errors.ts'
import type { RecordFormat } from '../../shared/format/record.ts'
import type { AppendAnswer } from '../../shared/schemas/append.ts'
import type { AppendLedger, NumberedBatch } from './append-ledger.ts'
import { type Batch, BatchBuilder, type BatchBounds } from './batch-builder.ts'
import { type Client, ConnectionFailure, ProblemFailure, streamPath } from './client.ts'

// One request is in flight at a time, and the next batch fills meanwhile: so the order is that of
// the input without the help of expected offsets, which would shut out other writers, and a failure
// leaves one batch in doubt at most. Whatever has collected goes out as soon as the request before
// is answered, so a slow input is passed on at once and a fast one in large batches.
//
// Batches that a ledger numbers are sent again when their answer is lost, for the server tells a
// repeat; others only where it says that it has not applied them.

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
  /** Numbers the batches; without one a lost answer ends the sending. */
  readonly ledger?: AppendLedger | undefined
  readonly onProgress: (appended: Appended) => void
  /** Called once; everything after is refused. */
  readonly onFailure: (failure: Error) => void
  readonly sleep?: (ms: number) => Promise<unknown>
}

/** What the server has answered for. */
export type Appended = {
  records: number
  /** Those of them that the server had already. */
  duplicates: number
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
    duplicates: 0,
    bytes: 0,
    firstOffset: undefined,
    nextOffset: undefined,
    durable: true,
  }
  #sending: Promise<void> | undefined
  #failure: SendFailure | undefined
  /** Whether the batch in flight may have been applied by an earlier attempt. */
  #isInDoubt = false

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

  /**
   * Takes a record, copied; waits while there is no room.
   * @param end where in the input it ends
   * @throws what ended the sending
   */
  async add(format: RecordFormat, body: Buffer, end?: number): Promise<void> {
    while (!this.#fits(body.length)) {
      this.offer()
      await this.#sending
      this.#throwFailure()
    }
    this.#builder.add(format, body, end)
  }

  /** Sends what has collected, unless a request is in flight, whose end does it. */
  offer(): void {
    // A batch that was cut before goes out only when it is as it was.
    if (this.#builder.count >= (this.#options.ledger?.nextCount ?? 1)) this.#sendNext()
  }

  #sendNext(): void {
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
    do {
      this.#sendNext()
      await this.#sending
    } while (this.#sending !== undefined || (this.#builder.count > 0 && !this.#failure))
    this.#throwFailure()
  }

  /** Waits for the request in flight and sends no more. */
  async stop(): Promise<void> {
    this.#builder.take()
    while (this.#sending !== undefined) await this.#sending
  }

  #fits(bodyLength: number): boolean {
    const cut = this.#options.ledger?.nextCount
    return cut === undefined ? this.#builder.fits(bodyLength) : this.#builder.count < cut
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }

  async #send(batch: Batch): Promise<void> {
    try {
      const { ledger } = this.#options
      const numbered = await ledger?.note(batch)
      this.#isInDoubt = numbered?.isRepeat === true
      const { answer, wasRetried } = await this.#sendPatiently(batch, numbered)
      if (numbered !== undefined) ledger?.settle(batch, numbered, answer, wasRetried)
      this.#count(batch, answer)
    } catch (error) {
      const outcome = this.#isInDoubt ? 'unknown' : outcomeOf(error)
      this.#failure = { error: error as Error, outcome, batch }
      this.#options.onFailure(error as Error)
    }
  }

  #count(batch: Batch, answer: AppendAnswer): void {
    const appended = this.#appended
    appended.records += answer.count
    if (answer.duplicate) appended.duplicates += answer.count
    appended.bytes += batch.bodyBytes
    appended.firstOffset ??= answer.firstOffset
    appended.nextOffset = answer.nextOffset
    appended.durable &&= answer.durable
    this.#options.onProgress(appended)
  }

  async #sendPatiently(
    batch: Batch,
    numbered: NumberedBatch | undefined,
  ): Promise<{ answer: AppendAnswer; wasRetried: boolean }> {
    const { sleep = sleepFor } = this.#options
    let waitedMs = 0
    for (let wasRetried = false; ; wasRetried = true) {
      try {
        return { answer: await this.#post(batch, numbered), wasRetried }
      } catch (error) {
        const wasSeen = wasRetried || this.#appended.records > 0
        const mayRepeat = numbered === undefined ? isNotApplied(error) : isPassing(error, wasSeen)
        const retryAfterMs = retryAfter(error)
        this.#isInDoubt ||= outcomeOf(error) === 'unknown'
        waitedMs += retryAfterMs
        if (!mayRepeat || waitedMs > RETRY_MS_MAX) throw error
        await sleep(retryAfterMs)
      }
    }
  }

  #post({ bytes }: Batch, numbered: NumberedBatch | undefined): Promise<AppendAnswer> {
    const { client, stream, durability, expectedOffset } = this.#options
    const expected =
      expectedOffset === undefined ? undefined : (this.#appended.nextOffset ?? expectedOffset)
    const ensured = durability === 'immediate' ? durability : 'group'
    return client.requestJson<AppendAnswer>({
      method: 'POST',
      path: streamPath(stream, '/records'),
      query: {
        durability: numbered?.mustBeDurable === true ? ensured : durability,
        expectedOffset: expected,
      },
      headers: { 'content-type': 'application/vnd.varve.batch', ...producerHeaders(numbered) },
      body: bytes,
    })
  }
}

function producerHeaders(numbered: NumberedBatch | undefined): Record<string, string> {
  if (numbered === undefined) return {}
  const { id, epoch, seq } = numbered.producer
  return { 'producer-id': id, 'producer-epoch': `${epoch}`, 'producer-seq': `${seq}` }
}

/** Whether the server says that it is busy and has not applied the batch. */
function isNotApplied(error: unknown): boolean {
  if (!(error instanceof ProblemFailure)) return false
  const { status, outcome } = error.problem
  return (status === 429 || status === 503) && outcome === 'not_applied'
}

/**
 * Whether a numbered batch may get through later: the server is busy or restarts, or the answer was
 * lost. @param wasSeen whether there is a server at all
 */
function isPassing(error: unknown, wasSeen: boolean): boolean {
  if (error instanceof ConnectionFailure) return wasSeen || !error.isRefused
  return error instanceof ProblemFailure && [429, 503].includes(error.problem.status)
}

function retryAfter(error: unknown): number {
  const asked = error instanceof ProblemFailure ? error.retryAfterMs : undefined
  return asked ?? RETRY_DEFAULT_MS
}

/** What became of the append that met `error`. */
function outcomeOf(error: unknown): Outcome {
  if (error instanceof ConnectionFailure) return error.isRefused ? 'not_applied' : 'unknown'
  if (!(error instanceof ProblemFailure)) return 'unknown'
  const { status, outcome } = error.problem
  if (outcome === 'not_applied' || outcome === 'unknown') return outcome
  return status < 500 ? 'not_applied' : 'unknown'
}
