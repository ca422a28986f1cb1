import type { ProducerResult, ProducerState } from '../../shared/format/producer-state.ts'
import { StoreError } from '../../shared/errors.ts'
import { PRODUCERS_MAX } from '../../shared/limits.ts'
import type { Producer } from '../../shared/protocol/streams.ts'

/** Results of a producer that are remembered: as many as one session may have unanswered. */
const RESULTS_MAX = 256
/**
 * Results that a stream remembers of all of its producers together, and those that each of them
 * keeps all the same: a thousand producers take less than 1 MiB of a catalogue entry.
 */
const RESULTS_OF_ALL_MAX = 4096
const RESULTS_MIN = 8

/**
 * The producers of one stream under two views, as the stream itself: assigned, which appends are
 * checked against, and durable, which a write-back stores. States never change; a newer one
 * takes the place of an older.
 */
export class ProducerTable {
  readonly #assigned = new Map<string, ProducerState>()
  readonly #durable = new Map<string, ProducerState>()

  /** A table as the catalogue has it. */
  static from(states: readonly ProducerState[]): ProducerTable {
    const table = new ProducerTable()
    for (const state of states) {
      table.assign(state)
      table.makeDurable(state)
    }
    return table
  }

  /**
   * The answer to a repeat, or undefined for an append that is the producer's next.
   * @param expiredBefore µs since 1970: producers idle since before it are forgotten
   * @throws StoreError producer_fenced, producer_gap, or invalid_request for a new epoch that does
   * not start at 0 and for a repeat whose answer is no longer known
   */
  check(producer: Producer, expiredBefore: number): ProducerResult | undefined {
    const known = this.#assigned.get(producer.id)
    const state = known !== undefined && lastTime(known) >= expiredBefore ? known : undefined
    if (state === undefined) this.#makeRoom(expiredBefore)
    if (state === undefined || producer.epoch > state.epoch) {
      if (producer.seq === 0) return undefined
      throw new StoreError('invalid_request', 'the first seq of a new producer or epoch is 0', {
        expectedSeq: 0,
      })
    }
    if (producer.epoch < state.epoch) {
      throw new StoreError('producer_fenced', `epoch ${state.epoch} is active`, {
        epoch: state.epoch,
      })
    }
    const expectedSeq = state.lastSeq + 1
    if (producer.seq === expectedSeq) return undefined
    if (producer.seq > expectedSeq) {
      throw new StoreError('producer_gap', `the next seq is ${expectedSeq}`, { expectedSeq })
    }
    return resultOf(state, producer.seq)
  }

  /** The state after `producer`'s next append. */
  next(producer: Producer, result: ProducerResult): ProducerState {
    const { id, epoch, seq: lastSeq } = producer
    const known = this.#assigned.get(id)
    const before = known?.epoch === epoch && lastSeq > 0 ? known.results : []
    return { id, epoch, lastSeq, results: [...before.slice(1 - RESULTS_MAX), result] }
  }

  assign(state: ProducerState): void {
    this.#assigned.set(state.id, state)
  }

  makeDurable(state: ProducerState): void {
    this.#durable.set(state.id, state)
  }

  /**
   * Durable states of producers active since `expiredBefore`, µs; the others are forgotten, and so
   * are the oldest results where there are too many.
   */
  durable(expiredBefore: number): ProducerState[] {
    for (const [id, state] of this.#durable) {
      if (lastTime(state) < expiredBefore) this.#durable.delete(id)
    }
    this.#forgetOldest()
    return [...this.#durable.values()]
  }

  #forgetOldest(): void {
    const states = [...this.#durable.values()]
    const surplus = states.reduce((sum, { results }) => sum + results.length, -RESULTS_OF_ALL_MAX)
    if (surplus <= 0) return
    const times = states
      .flatMap(({ results }) => results.slice(0, -RESULTS_MIN).map(({ timestamp }) => timestamp))
      .sort((left, right) => left - right)
    const through = times[Math.min(surplus, times.length) - 1]
    if (through === undefined) return
    for (const table of [this.#durable, this.#assigned]) {
      for (const [id, state] of table) table.set(id, without(state, through))
    }
  }

  #makeRoom(expiredBefore: number): void {
    if (this.#assigned.size < PRODUCERS_MAX) return
    for (const [id, state] of this.#assigned) {
      if (lastTime(state) < expiredBefore) this.#assigned.delete(id)
    }
    if (this.#assigned.size < PRODUCERS_MAX) return
    throw new StoreError('too_many_requests', `the stream has ${PRODUCERS_MAX} active producers`)
  }
}

/** The state without results up to `through`, µs, but for the last RESULTS_MIN. */
function without(state: ProducerState, through: number): ProducerState {
  const { id, epoch, lastSeq, results } = state
  const newer = results.findIndex(({ timestamp }) => timestamp > through)
  const first = Math.min(newer === -1 ? results.length : newer, results.length - RESULTS_MIN)
  return first <= 0 ? state : { id, epoch, lastSeq, results: results.slice(first) }
}

function lastTime({ results }: ProducerState): number {
  return results.at(-1)?.timestamp ?? 0
}

function resultOf(state: ProducerState, seq: number): ProducerResult {
  const result = state.results.at(seq - state.lastSeq - 1)
  if (result !== undefined) return result
  throw new StoreError(
    'invalid_request',
    `seq ${seq} was accepted, but its answer is no longer known: nothing is appended again`,
    { duplicate: true, expectedSeq: state.lastSeq + 1 },
  )
}
