import { StateChange } from '../../shared/format/checkpoint.ts'
import { type Operation, OperationType } from '../../shared/format/operation.ts'
import { stateHashOf, type StreamState } from '../../shared/format/stream-state.ts'
import { readConfig } from '../streams/stream-config.ts'
import type { ChainCheck } from './chain-check.ts'

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
    if (operation.type === OperationType.Configure) {
      this.#change(StateChange.Configured, { config: readConfig(operation.config) })
    } else if (operation.type === OperationType.Close) {
      this.#change(StateChange.Closed, { closed: true })
    } else if (operation.type === OperationType.Trim) {
      this.#change(StateChange.Trimmed, { firstOffset: operation.before })
    } else return false
    return true
  }

  #change(change: StateChange, part: Partial<StreamState>): void {
    this.#state = this.#state && { ...this.#state, ...part }
    this.chain.state.announce(change, this.#state && stateHashOf(this.#state))
  }

  /** Skips a gap in the journal. */
  skip(): void {
    this.#state = undefined
    this.chain.state.lose()
  }
}
