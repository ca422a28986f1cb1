import { decodeBatchItem } from '../../shared/format/batch.ts'
import { RecordFormat } from '../../shared/format/record.ts'
import type { AppendLedger } from './append-ledger.ts'
import type { Batch } from './batch-builder.ts'
import type { Appended, BatchSender, SendFailure } from './batch-sender.ts'
import { type CommandContext, CommandFailure, ExitCode, write } from './context.ts'
import { countOf, formatBytes, formatCount, Progress } from './progress.ts'

type ReportOptions = {
  readonly stream: string
  /** Bytes of the input, where known. */
  readonly size: number | undefined
  readonly json: boolean
  /** What numbers the batches, as it is before the first one. */
  readonly ledger: AppendLedger | undefined
  /** Whether --resume can go on where this ends. */
  readonly canResume: boolean
}

/** What `append` says while it runs and when it ends. */
export class AppendReport {
  readonly #context: CommandContext
  readonly #options: ReportOptions
  readonly #progress: Progress
  readonly #startMs = performance.now()
  /** Records, and bytes of the input, that earlier runs appended. */
  readonly #before: { readonly records: number; readonly position: number }

  constructor(context: CommandContext, options: ReportOptions) {
    this.#context = context
    this.#options = options
    this.#before = options.ledger?.state.durable ?? { records: 0, position: 0 }
    this.#progress = new Progress(context.stderr, options.size)
  }

  update({ records, bytes }: Appended): void {
    const rate = `${formatCount(records / this.#seconds())} records/s`
    // Each record of a line stands for its line end too.
    const read = this.#before.position + bytes + records
    const done = Math.min(read, this.#options.size ?? Number.POSITIVE_INFINITY)
    this.#progress.update(done, `${countOf(records, 'record')}, ${formatBytes(bytes)}, ${rate}`)
  }

  /** Everything is appended, and durable. */
  async succeed(appended: Appended): Promise<void> {
    this.#progress.close()
    const { records, duplicates, firstOffset = 0, nextOffset = 0 } = appended
    if (this.#options.json) return this.#printJson(appended, { ok: true, durable: true })
    const place = records === 0 ? '' : `, offsets ${firstOffset} to ${nextOffset - 1}, durable`
    const rate = `${formatCount(records / this.#seconds())} records/s`
    const time = `${this.#seconds().toFixed(1)} s, ${rate}`
    const there = duplicates === 0 ? '' : `, ${formatCount(duplicates)} of them were there already`
    const before = this.#before.records
    const earlier = before === 0 ? '' : `, after ${formatCount(before)} by earlier runs`
    const text = `${this.#amount(appended)}${place}${there}${earlier} (${time})\n`
    await write(this.#context.stdout, text)
  }

  /** @throws CommandFailure that says what is stored and what is not */
  async fail({ appended, failure }: BatchSender, error: Error): Promise<never> {
    this.#progress.close()
    const culprit = failure === undefined ? '' : this.#findBadJson(failure, appended)
    if (this.#options.json) {
      const { durable } = appended
      const outcome = failure?.outcome ?? 'not_applied'
      await this.#printJson(appended, { ok: false, durable, outcome, error: error.message })
    }
    throw new CommandFailure(
      `${error.message}${culprit}\n${this.#describeState(appended, failure)}`,
      error instanceof CommandFailure ? error.exitCode : ExitCode.Failure,
      error,
    )
  }

  /** What is stored, and what became of the rest. */
  #describeState(appended: Appended, failure: SendFailure | undefined): string {
    const { records, durable, nextOffset = 0 } = appended
    const isSettled = failure === undefined || failure.outcome === 'not_applied'
    const advice = this.#options.canResume
      ? '--resume finds out, and goes on'
      : 'read the stream before sending them again'
    const rest = isSettled
      ? `nothing after that was${this.#options.canResume ? '; --resume goes on' : ''}`
      : `the next ${countOf(failure.batch.count, 'record')} may have been or not: ${advice}`
    if (records === 0)
      return isSettled ? 'nothing was appended' : `nothing was answered for; ${rest}`
    const kept = durable ? 'durable' : 'accepted, on their way to stable storage'
    const offsets = `offsets up to ${nextOffset - 1}, ${kept}`
    return `${this.#amount(appended)} (${offsets}); ${rest}`
  }

  #amount({ records, bytes }: Appended): string {
    const stream = JSON.stringify(this.#options.stream)
    return `${countOf(records, 'record')} (${formatBytes(bytes)}) appended to ${stream}`
  }

  #printJson(appended: Appended, more: Readonly<Record<string, unknown>>): Promise<void> {
    const { records, duplicates, bytes, firstOffset = null, nextOffset = null } = appended
    const { stream, ledger } = this.#options
    const seconds = Math.round(this.#seconds() * 1000) / 1000
    const place = { firstOffset, nextOffset }
    const numbered = ledger && {
      producer: ledger.state.producer,
      recordsBefore: this.#before.records,
    }
    const result = { stream, records, duplicates, bytes, ...place, seconds, ...numbered, ...more }
    return write(this.#context.stdout, `${JSON.stringify(result)}\n`)
  }

  #findBadJson({ batch }: SendFailure, { records }: Appended): string {
    return findBadJson(batch, this.#before.records + records)
  }

  #seconds(): number {
    return Math.max(performance.now() - this.#startMs, 1) / 1000
  }
}

/** Which record of the input a server's complaint about JSON means: it counts within a batch. */
function findBadJson({ bytes }: Batch, recordsBefore: number): string {
  let number = recordsBefore
  for (let at = 0; at < bytes.length; ) {
    const { format, headersAt, bodyLength, end } = decodeBatchItem(bytes, at, bytes.length)
    number += 1
    if (format === RecordFormat.Json && !isJson(bytes, headersAt, headersAt + bodyLength)) {
      return ` (record ${number} of the input is not valid JSON)`
    }
    at = end
  }
  return ''
}

function isJson(bytes: Buffer, start: number, end: number): boolean {
  try {
    JSON.parse(bytes.toString('utf8', start, end))
    return true
  } catch {
    return false
  }
}
