import { decodeBatchItem } from '../../shared/format/batch.ts'
import { RecordFormat } from '../../shared/format/record.ts'
import type { Batch } from './batch-builder.ts'
import type { Appended, BatchSender, SendFailure } from './batch-sender.ts'
import { type CommandContext, CommandFailure, ExitCode, write } from './context.ts'
import { countOf, formatBytes, formatCount, Progress } from './progress.ts'

type ReportOptions = {
  readonly stream: string
  /** Bytes of the input, where known. */
  readonly size: number | undefined
  readonly json: boolean
}

/** What `append` says while it runs and when it ends. */
export class AppendReport {
  readonly #context: CommandContext
  readonly #options: ReportOptions
  readonly #progress: Progress
  readonly #startMs = performance.now()

  constructor(context: CommandContext, options: ReportOptions) {
    this.#context = context
    this.#options = options
    this.#progress = new Progress(context.stderr, options.size)
  }

  update({ records, bytes }: Appended): void {
    const rate = `${formatCount(records / this.#seconds())} records/s`
    // Each record of a line stands for its line end too.
    const done = Math.min(bytes + records, this.#options.size ?? Number.POSITIVE_INFINITY)
    this.#progress.update(done, `${countOf(records, 'record')}, ${formatBytes(bytes)}, ${rate}`)
  }

  /** Everything is appended, and durable. */
  async succeed(appended: Appended): Promise<void> {
    this.#progress.close()
    const { records, firstOffset = 0, nextOffset = 0 } = appended
    if (this.#options.json) return this.#printJson(appended, { ok: true, durable: true })
    const place = records === 0 ? '' : `, offsets ${firstOffset} to ${nextOffset - 1}, durable`
    const rate = `${formatCount(records / this.#seconds())} records/s`
    const time = `${this.#seconds().toFixed(1)} s, ${rate}`
    await write(this.#context.stdout, `${this.#amount(appended)}${place} (${time})\n`)
  }

  /** @throws CommandFailure that says what is stored and what is not */
  async fail({ appended, failure }: BatchSender, error: Error): Promise<never> {
    this.#progress.close()
    const culprit = failure === undefined ? '' : findBadJson(failure.batch, appended.records)
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
    const rest = isSettled
      ? 'nothing after that was'
      : `the next ${countOf(failure.batch.count, 'record')} may have been or not: ` +
        'read the stream before sending them again'
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
    const { records, bytes, firstOffset = null, nextOffset = null } = appended
    const { stream } = this.#options
    const seconds = Math.round(this.#seconds() * 1000) / 1000
    const result = { stream, records, bytes, firstOffset, nextOffset, seconds, ...more }
    return write(this.#context.stdout, `${JSON.stringify(result)}\n`)
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
