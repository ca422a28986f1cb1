import { type CheckpointBody, StateChange } from '../../shared/format/checkpoint.ts'

/** What a chain is followed through. Only a journal tells the changes that checkpoints sign. */
export type ChainSource = 'segments' | 'journal'

/**
 * The state of a stream as its checkpoints sign it, one after the other. It changes only by a
 * checkpoint that says so. One that signs another state without a change was made by a service that
 * was given an altered state.
 */
export class SignedState {
  #source: ChainSource
  /** The change that the next checkpoint has to sign. */
  #due: { readonly change: StateChange; readonly hash: string | undefined } | undefined
  /** Hash of the state that was signed last, latin1; undefined where it is not known. */
  hash: string | undefined
  /** Whether a checkpoint has closed the stream: no record may follow. */
  isClosed = false

  /** @param hash of the state that the chain is taken up with, latin1 */
  constructor(source: ChainSource, hash: string | undefined) {
    this.#source = source
    this.hash = hash
  }

  /** Whether a change was announced and no checkpoint has followed. */
  get isDue(): boolean {
    return this.#due !== undefined
  }

  /** Notes a change of the journal. @param hash of the state behind it, where that is known */
  announce(change: StateChange, hash: string | undefined): void {
    this.#due = { change, hash }
  }

  /** Goes on in the journal. @param hash of the state there */
  beginJournal(hash: string): void {
    this.#source = 'journal'
    this.hash = hash
  }

  /** Forgets what records said that cannot be read, and what may have changed meanwhile. */
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
    return this.#source === 'journal' ? 'signs a change that is not there' : undefined
  }
}

const OTHER_STATE =
  'signs another configuration, closed, first offset or creation time than were signed before it'
