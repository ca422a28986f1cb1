import type { ServerResponse } from 'node:http'
import { READ_BYTES_MAX } from '../../shared/limits.ts'
import type { ReadPage, ReadRequest } from '../../shared/protocol/streams.ts'
import { WaitingLine } from '../shards/waiting-line.ts'
import type { StreamStore } from '../store.ts'
import type { ReadBudget } from './read-budget.ts'

/** Of bytes in formats that are text. */
const BASE64_GROWTH = 4 / 3

/** Longest time that a read waits for room in memory before its client is told to come back. */
const WAIT_MS = 10_000

/** What a page may take that is asked for with `maxBytes`: one record at least, as text. */
export function pageBytes(maxBytes: number, recordBytesMax: number): number {
  return Math.ceil(Math.max(maxBytes, recordBytesMax) * BASE64_GROWTH)
}

/**
 * The reads of HTTP requests: bounded in memory until they are taken, and given up with them. One
 * large page is put together at a time, for that takes several times its length, and one stream is
 * read whole at a time: the other reader threads are there for the rest.
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
    // The whole chain is read together with all of the stream that is in memory alone.
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

  /** Runs what reads a whole stream and answers little: one at a time. */
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
