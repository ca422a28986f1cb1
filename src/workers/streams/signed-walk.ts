import type { LinkedRecord } from '../../shared/format/read-page.ts'
import type { Vouching } from '../../shared/format/vouching.ts'
import type { ReadPlan } from '../../shared/protocol/shard.ts'
import type { Disk } from '../disk/disk.ts'
import { CheckpointCheck } from './checkpoint-check.ts'
import { listPublicKeys } from './key-files.ts'

/**
 * Walks along a chain and checks the signature of every checkpoint that it meets. After a page the
 * caller can continue the walk to the signature that vouches for the page.
 */
export class SignedWalk {
  readonly #vouching: Vouching
  readonly #records: Generator<LinkedRecord>
  readonly #check: CheckpointCheck
  #checked: LinkedRecord | undefined
  /** A checked signature covers all records below this offset; 0 before the first. */
  signedThrough = 0
  /** Why a signature was refused. */
  signatureFailure: unknown

  constructor(disk: Disk, plan: ReadPlan, vouching: Vouching) {
    this.#vouching = vouching
    this.#records = vouching.records()
    this.#check = new CheckpointCheck(plan.streamId, listPublicKeys(disk, undefined).keys)
  }

  /** Iterates over the records in order. After an early stop `finish` can continue the walk. */
  open(): Iterable<LinkedRecord> {
    return { [Symbol.iterator]: () => ({ next: () => this.#next() }) }
  }

  /** Continues to the first signature at or above `end`, or to the head. @throws StoreError */
  finish(end: number): void {
    while (this.#checked === undefined || this.signedThrough < end) {
      if (this.#next().done === true) return
    }
  }

  /** Offset of a record that nothing vouches for, because everything after it is lost. */
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
