import { StateChange } from '../../shared/format/checkpoint.ts'
import { type Operation, OperationType } from '../../shared/format/operation.ts'
import { stateHashOf, type StreamState } from '../../shared/format/stream-state.ts'
import { stateAfter } from '../streams/stream-binding.ts'
import type { ChainCheck } from './chain-check.ts'

const CHANGES: { readonly [Type in OperationType]?: StateChange } = {
  [OperationType.Configure]: StateChange.Configured,
  [OperationType.Close]: StateChange.Closed,
  [OperationType.Trim]: StateChange.Trimmed,
}

/** A stream that is followed through the journal. */
export class FollowedStream {
  readonly name: string
  readonly chain: ChainCheck
  /** Whether the journal creates it. */
  readonly isNew: boolean
  /** Its state; undefined after a gap in the journal, which may have held a change. */
  #state: StreamState | undefined

  constructor(name: string, chain: ChainCheck, state: StreamState, isNew: boolean) {
    this.name = name
    this.chain = chain
    this.#state = state
    this.isNew = isNew
  }

  /**
   * Applies an operation. Returns whether it changes the state, so that a checkpoint in the same
   * frame must sign it.
   */
  apply(operation: Operation): boolean {
    const change = CHANGES[operation.type]
    if (change === undefined) return false
    this.#state = this.#state && stateAfter(this.#state, operation)
    this.chain.state.announce(change, this.#state && stateHashOf(this.#state))
    return true
  }

  /** Skips a gap in the journal. */
  skip(): void {
    this.#state = undefined
    this.chain.state.lose()
  }
}
