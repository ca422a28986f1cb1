import type { ServerResponse } from 'node:http'
import { READ_BYTES_MAX } from '../../shared/limits.ts'
import type { ReadPage, ReadRequest } from '../../shared/protocol/streams.ts'
import { WaitingLine } from '../shards/waiting-line.ts'
import type { StreamStore } from '../store.ts'
import type { ReadBudget } from './read-budget.ts'

/** Growth of bytes in a text format. */
const BASE64_GROWTH = 4 / 3

/** Longest time that a read waits for room in memory before its client is told to come back. */
const WAIT_MS = 10_000

/** Returns the largest size of a page asked for with `maxBytes`, which has at least one record. */
export function pageBytes(maxBytes: number, recordBytesMax: number): number {
  return Math.ceil(Math.max(maxBytes, recordBytesMax) * BASE64_GROWTH)
}

/**
 * Runs the reads of HTTP requests. Their pages count in the read budget until the client has taken
 * them, and a read ends when its client disconnects. Only one large page is built at a time, which
 * takes several times its length in memory, and only one stream is verified whole at a time, so
 * that reader threads stay free for other reads.
 */
export class Reads {
  readonly #store: StreamStore
  readonly #budget: ReadBudget
  readonly #recordBytesMax: number
  readonly #large = new WaitingLine(1)
  readonly #whole = new WaitingLine(1)

  constructor(store: StreamStore, budget: ReadBudget, recordBytesMax: number) {
    this.#store = store
    this.#budget = budget
    this.#recordBytesMax = recordBytesMax
  }

  /**
   * Reads a page for `response`, which holds its bytes until it has ended.
   * @throws StoreError overloaded, and what the store's `read` throws
   */
  async page(response: ServerResponse, stream: string, request: ReadRequest): Promise<ReadPage> {
    const { maxBytes, verify } = request
    // A read of the whole chain also copies all records that are in memory alone.
    const bytes = verify === 'genesis' ? READ_BYTES_MAX : pageBytes(maxBytes, this.#recordBytesMax)
    const signal = untilGone(response)
    const lease = await this.#budget.take(bytes, signal, WAIT_MS)
    try {
      const read = () => this.#store.read(stream, request, signal)
      const isLarge = bytes > this.#budget.smallReadBytes
      const page = await (isLarge ? this.#large.run(read, signal) : read())
      lease.resize(page.payload.length)
      response.once('close', () => lease.release())
      if (response.destroyed) lease.release()
      return page
    } catch (error) {
      lease.release()
      throw error
    }
  }

  /** Runs reads of whole streams with small answers, one at a time. */
  whole<Answer>(
    response: ServerResponse,
    read: (signal: AbortSignal) => Promise<Answer>,
  ): Promise<Answer> {
    const signal = untilGone(response)
    return this.#whole.run(() => read(signal), signal)
  }
}

function untilGone(response: ServerResponse): AbortSignal {
  const gone = new AbortController()
  if (response.destroyed) gone.abort()
  response.once('close', () => gone.abort())
  return gone.signal
}
