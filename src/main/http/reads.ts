import type { ServerResponse } from 'node:http'
import { StoreError } from '../../shared/errors.ts'
import { READ_BYTES_MAX } from '../../shared/limits.ts'
import type { ReadPage, ReadRequest } from '../../shared/protocol/streams.ts'
import type { StreamStore } from '../store.ts'
import type { ReadBudget } from './read-budget.ts'

/** Longest time that a read waits for room in memory before its client is told to come back. */
const WAIT_MS = 10_000

/** The reads of HTTP requests: bounded in memory until they are taken, and given up with them. */
export class Reads {
  readonly #store: StreamStore
  readonly #budget: ReadBudget
  readonly #recordBytesMax: number

  constructor(store: StreamStore, budget: ReadBudget, recordBytesMax: number) {
    this.#store = store
    this.#budget = budget
    this.#recordBytesMax = recordBytesMax
  }

  /**
   * Reads a page for `response`, which holds its bytes until it has ended.
   * @throws StoreError overloaded, and what the store's `read` throws
   */
  page(response: ServerResponse, stream: string, request: ReadRequest): Promise<ReadPage> {
    const { maxBytes, verify } = request
    // The whole chain is read together with all of the stream that is in memory alone.
    const bytes = verify === 'genesis' ? READ_BYTES_MAX : Math.max(maxBytes, this.#recordBytesMax)
    return this.#bounded(response, bytes, async (signal, resize) => {
      const page = await this.#store.read(stream, request, signal)
      resize(page.payload.length)
      return page
    })
  }

  /** Runs what reads a whole stream and answers little: a few at a time. */
  whole<Answer>(
    response: ServerResponse,
    read: (signal: AbortSignal) => Promise<Answer>,
  ): Promise<Answer> {
    return this.#bounded(response, READ_BYTES_MAX, async (signal, resize) => {
      const answer = await read(signal)
      resize(0)
      return answer
    })
  }

  async #bounded<Answer>(
    response: ServerResponse,
    bytes: number,
    read: (signal: AbortSignal, resize: (bytes: number) => void) => Promise<Answer>,
  ): Promise<Answer> {
    const gone = new AbortController()
    if (response.destroyed) throw new StoreError('overloaded', 'the client has gone')
    response.once('close', () => gone.abort())
    const lease = await this.#budget.take(bytes, gone.signal, WAIT_MS)
    try {
      const answer = await read(gone.signal, size => lease.resize(size))
      response.once('close', () => lease.release())
      if (response.destroyed) lease.release()
      return answer
    } catch (error) {
      lease.release()
      throw error
    }
  }
}
