import { type CheckpointBody, StateChange } from '../../shared/format/checkpoint.ts'

/** Where a chain is read from. Only a journal holds the changes that checkpoints sign. */
export type ChainSource = 'segments' | 'journal'

/**
 * Follows the state of a stream through its checkpoints. Only a checkpoint with a change may sign
 * another state than the one before it. A checkpoint without a change that signs another state was
 * made by a service that read an altered state.
 */
export class SignedState {
  #source: ChainSource
  /** The change that the next checkpoint must sign. */
  #due: { readonly change: StateChange; readonly hash: string | undefined } | undefined
  /** Hash of the last signed state, latin1; undefined if unknown. */
  hash: string | undefined
  /** Whether a checkpoint has closed the stream: no record may follow. */
  isClosed = false

  /** @param hash of the state where the chain begins, latin1 */
  constructor(source: ChainSource, hash: string | undefined) {
    this.#source = source
    this.hash = hash
  }

  /** Whether a change was announced and no checkpoint has followed. */
  get isDue(): boolean {
    return this.#due !== undefined
  }

  /** Notes a change in the journal. @param hash of the state after it, if known */
  announce(change: StateChange, hash: string | undefined): void {
    this.#due = { change, hash }
  }

  /** Continues in the journal. @param hash of the state there */
  beginJournal(hash: string): void {
    this.#source = 'journal'
    this.hash = hash
  }

  /** Forgets the state, because records that may have changed it cannot be read. */
  lose(): void {
    this.hash = undefined
    this.#due = undefined
  }

  /** Takes the next checkpoint. Returns what is wrong with it, as the end of a sentence. */
  accept({ change, stateHash }: CheckpointBody): string | undefined {
    const fault = this.#faultOf(change, stateHash)
    this.hash = stateHash
    this.#due = undefined
    if (change === StateChange.Closed) this.isClosed = true
    return fault
  }

  #faultOf(change: StateChange, stateHash: string): string | undefined {
    const isOther = (known: string | undefined) => known !== undefined && known !== stateHash
    if (this.#due !== undefined) {
      const isIts = this.#due.change === change && !isOther(this.#due.hash)
      return isIts ? undefined : 'does not sign the change that it was written with'
    }
    if (change === StateChange.None) {
      return isOther(this.hash) ? OTHER_STATE : undefined
    }
    return this.#source === 'journal' ? 'signs a change that the journal does not have' : undefined
  }
}

const OTHER_STATE =
  'signs another configuration, closed, first offset or creation time than the one before it'
