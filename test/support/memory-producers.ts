import { StoreError } from '../../src/shared/errors.ts'
import { PRODUCERS_MAX } from '../../src/shared/limits.ts'
import type { AppendResult, Producer } from '../../src/shared/protocol/streams.ts'

/** Results that are remembered of one producer. */
const RESULTS_MAX = 256

type ProducerState = {
  readonly epoch: number
  nextSeq: number
  readonly results: Map<number, AppendResult>
}

/** Who appended to one stream of the in-memory twin, and what they were answered. */
export class MemoryProducers {
  readonly #states = new Map<string, ProducerState>()

  /**
   * The first answer where the producer's append was accepted before, undefined where it is next.
   * @throws StoreError invalid_request, producer_fenced, producer_gap, too_many_requests
   */
  find({ id, epoch, seq }: Producer): AppendResult | undefined {
    const state = this.#states.get(id)
    if (state === undefined && this.#states.size === PRODUCERS_MAX) {
      throw new StoreError('too_many_requests', `there are ${PRODUCERS_MAX} producers`)
    }
    if (state === undefined || epoch > state.epoch) {
      if (seq === 0) return undefined
      throw new StoreError('invalid_request', 'an epoch starts at seq 0', { expectedSeq: 0 })
    }
    if (epoch < state.epoch) {
      throw new StoreError('producer_fenced', 'a newer epoch is active', { epoch: state.epoch })
    }
    const { nextSeq: expectedSeq, results } = state
    if (seq === expectedSeq) return undefined
    if (seq > expectedSeq) {
      throw new StoreError('producer_gap', `the next seq is ${expectedSeq}`, { expectedSeq })
    }
    const result = results.get(seq)
    if (result !== undefined) return { ...result, duplicate: true }
    const fields = { duplicate: true, expectedSeq }
    throw new StoreError('invalid_request', 'its answer is no longer known', fields)
  }

  /** Remembers what an append was answered. */
  add({ id, epoch, seq }: Producer, result: AppendResult): void {
    const known = this.#states.get(id)
    const state = known?.epoch === epoch ? known : { epoch, nextSeq: 0, results: new Map() }
    state.nextSeq = seq + 1
    state.results.set(seq, result)
    state.results.delete(seq - RESULTS_MAX)
    this.#states.set(id, state)
  }
}
