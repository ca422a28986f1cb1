import { setTimeout as sleepFor } from 'node:timers/promises'
import { type Client, ProblemFailure, streamPath, unreachable } from './client.ts'
import { CommandFailure } from './context.ts'
import { TailConnection } from './tail-connection.ts'
import { parseTailMessage, type TailCursor, type TailRecords } from './tail-message.ts'

// Follows one stream for as long as it is open. What holds: records are handed over in order, each
// once, none left out, over any number of connections, and all of one history. `#position` is the
// next offset wanted; it moves only once the records below it were handed over. A connection starts
// there, or at the last cursor below it: the server refuses the cursor of another history.

const BACKOFF_FIRST_MS = 250
const BACKOFF_MAX_MS = 10_000

export type FollowerOptions = {
  readonly client: Client
  readonly stream: string
  readonly format: 'json' | 'batch'
  /** Takes records; the connection is held back until it resolves. */
  readonly onRecords: (records: TailRecords) => Promise<void>
  /** Told of each wait before a new connection. */
  readonly onRetry: (reason: string, waitMs: number) => void
  readonly signal: AbortSignal
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<unknown>
}

type Ending =
  | { readonly kind: 'closed' }
  | { readonly kind: 'lost'; readonly reason: string; readonly retryAfterMs?: number | undefined }

export class Follower {
  readonly #options: FollowerOptions
  #position: number
  #cursor: TailCursor | undefined
  #backoffMs = BACKOFF_FIRST_MS

  /**
   * @param position first offset wanted
   * @param after hash of the record before it, where that is known
   */
  constructor(options: FollowerOptions, position: number, after?: string) {
    this.#options = options
    this.#position = position
    if (after !== undefined) this.#cursor = { nextOffset: position, lastHash: after }
  }

  /**
   * Returns at the end of a closed stream, or once aborted.
   * @throws what another try cannot mend
   */
  async run(): Promise<void> {
    const { signal, onRetry, sleep = sleepUnlessAborted } = this.#options
    while (!signal.aborted) {
      const ending = await this.#followOnce()
      if (ending.kind === 'closed' || signal.aborted) return
      // Spread, so that the followers of a server do not all come back at one moment.
      const spread = 0.75 + Math.random() / 2
      const waitMs = ending.retryAfterMs ?? Math.round(this.#backoffMs * spread)
      this.#backoffMs = Math.min(this.#backoffMs * 2, BACKOFF_MAX_MS)
      onRetry(ending.reason, waitMs)
      await sleep(waitMs, signal)
    }
  }

  /** One connection, from its start to its end. */
  async #followOnce(): Promise<Ending> {
    const { client, stream, format, signal } = this.#options
    const { nextOffset: from = this.#position, lastHash: after } = this.#cursor ?? {}
    const address = client.locate(streamPath(stream, '/tail'), { from, after, format })
    address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:'
    const connection = new TailConnection(address)
    const onAbort = () => connection.close()
    signal.addEventListener('abort', onAbort)
    try {
      for await (const { data, isBinary } of connection.messages()) {
        const ending = await this.#take(data, isBinary)
        if (ending !== undefined) return ending
        if (signal.aborted) break
        this.#backoffMs = BACKOFF_FIRST_MS
      }
      return this.#explainLoss(connection)
    } finally {
      signal.removeEventListener('abort', onAbort)
      connection.close()
    }
  }

  /** @throws ProblemFailure when the server ends it for good @throws CommandFailure */
  async #take(data: Buffer, isBinary: boolean): Promise<Ending | undefined> {
    const message = parseTailMessage(data, isBinary)
    switch (message.type) {
      case 'records':
        await this.#handOver(message.records)
        this.#note(message.cursor)
        return undefined
      case 'closed':
        return { kind: 'closed' }
      case 'error':
        if (!message.problem.retryable) throw new ProblemFailure(message.problem)
        return { kind: 'lost', reason: message.problem.detail }
      case 'other':
        this.#note(message.cursor)
        return undefined
    }
  }

  #note(cursor: TailCursor | undefined): void {
    if (cursor !== undefined && cursor.nextOffset <= this.#position) this.#cursor = cursor
  }

  async #handOver(records: TailRecords): Promise<void> {
    const { firstOffset, count } = records
    const skip = this.#position - firstOffset
    if (skip < 0) {
      const range = `${this.#position} to ${firstOffset - 1}`
      throw new CommandFailure(`the server left out offsets ${range}: a defect, or a proxy's doing`)
    }
    if (skip >= count) return
    await this.#options.onRecords({ ...records, skip })
    this.#position = firstOffset + count
  }

  /** @throws what the server answered instead of a connection, where another try cannot mend it */
  #explainLoss({ error, closeCode }: TailConnection): Ending {
    if (error instanceof ProblemFailure && error.problem.retryable) {
      const { problem, retryAfterMs } = error
      return { kind: 'lost', reason: problem.detail, retryAfterMs }
    }
    const isCursorTrimmed = error instanceof ProblemFailure && error.problem.code === 'trimmed'
    if (isCursorTrimmed && (this.#cursor?.nextOffset ?? this.#position) < this.#position) {
      this.#cursor = undefined // what follows it was handed over: the position may still be there
      return { kind: 'lost', reason: error.problem.detail }
    }
    if (error instanceof CommandFailure) throw error
    if (error === undefined) {
      return { kind: 'lost', reason: `the connection was closed (${closeCode})` }
    }
    return { kind: 'lost', reason: unreachable(this.#options.client.url, error).reason }
  }
}

async function sleepUnlessAborted(ms: number, signal: AbortSignal): Promise<void> {
  // Aborted is as good as slept: the loop looks at the signal next.
  await sleepFor(ms, undefined, { signal }).catch(() => undefined)
}
