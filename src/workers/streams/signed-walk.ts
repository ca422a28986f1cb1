import type { LinkedRecord } from '../../shared/format/read-page.ts'
import type { Vouching } from '../../shared/format/vouching.ts'
import type { ReadPlan } from '../../shared/protocol/shard.ts'
import type { Disk } from '../disk/disk.ts'
import { CheckpointCheck } from './checkpoint-check.ts'
import { listPublicKeys } from './key-files.ts'

/**
 * A walk along a chain that checks the signature of every checkpoint on its way, and that can be
 * gone on with behind a page, to the signature that vouches for it.
 */
export class SignedWalk {
  readonly #vouching: Vouching
  readonly #records: Generator<LinkedRecord>
  readonly #check: CheckpointCheck
  #checked: LinkedRecord | undefined
  /** Records below are under a signature that was checked; 0 before the first. */
  signedThrough = 0
  /** Why a signature was refused. */
  signatureFailure: unknown

  constructor(disk: Disk, plan: ReadPlan, vouching: Vouching) {
    this.#vouching = vouching
    this.#records = vouching.records()
    this.#check = new CheckpointCheck(plan.streamId, listPublicKeys(disk, undefined).keys)
  }

  /** The elements in order; whoever stops early may go on with `finish`. */
  open(): Iterable<LinkedRecord> {
    return { [Symbol.iterator]: () => ({ next: () => this.#next() }) }
  }

  /** Goes on to the first signature at or above `end`, or to the head. @throws StoreError */
  finish(end: number): void {
    while (this.#checked === undefined || this.signedThrough < end) {
      if (this.#next().done === true) return
    }
  }

  /** Offset of a record that nothing vouches for, for all that follows it is lost. */
  get unvouched(): number | undefined {
    return this.#vouching.unvouched
  }

  close(): void {
    this.#records.return(undefined)
  }

  #next(): IteratorResult<LinkedRecord> {
    const next = this.#records.next()
    const { checkpoint } = this.#vouching
    if (checkpoint !== undefined && checkpoint !== this.#checked) {
      try {
        this.#check.check(checkpoint)
      } catch (error) {
        this.signatureFailure = error
        throw error
      }
      this.#checked = checkpoint
      this.signedThrough = checkpoint.record.offset
    }
    return next
  }
}
