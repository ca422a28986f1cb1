import type { RecordChunk, StreamListener } from '../../src/main/store.ts'
import type { ReadPage, ReadRequest } from '../../src/shared/protocol/streams.ts'
import { MemoryStore } from './memory-store.ts'

/**
 * A store whose answers and events take as long as they like: events of one subscription keep their
 * order, may be joined, and may come without their records, as `StreamStore` allows.
 */
export class UnevenStore extends MemoryStore {
  readonly #random: () => number
  subscriptions = 0
  reads = 0

  /** @param random numbers from 0 to below 1 */
  constructor(random: () => number) {
    super()
    this.#random = random
  }

  override async read(name: string, request: ReadRequest): Promise<ReadPage> {
    this.reads += 1
    await this.#turns()
    const page = await super.read(name, request)
    await this.#turns()
    return page
  }

  override async subscribe(name: string, listener: StreamListener) {
    this.subscriptions += 1
    let last = Promise.resolve()
    const later = (deliver: () => void) => {
      last = last.then(() => this.#turns()).then(deliver)
    }
    return super.subscribe(name, {
      onRecords: chunk => later(() => listener.onRecords(this.#perhapsNull(chunk))),
      onEnd: reason => later(() => listener.onEnd(reason)),
    })
  }

  #perhapsNull(chunk: RecordChunk): RecordChunk {
    return this.#random() < 0.1 ? { ...chunk, records: null } : chunk
  }

  async #turns(): Promise<void> {
    const count = Math.floor(this.#random() * 4)
    for (let turn = 0; turn < count; turn += 1) {
      await new Promise(resolve => {
        setImmediate(resolve)
      })
    }
  }
}
