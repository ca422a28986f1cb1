import { crc32 } from 'node:zlib'
import { z } from 'zod'
import type { Producer } from '../../shared/protocol/streams.ts'
import type { AppendAnswer } from '../../shared/schemas/append.ts'
import type { Batch } from './batch-builder.ts'
import { CommandFailure } from './context.ts'

// Numbers the batches of an append, and remembers them so that it can be gone on with.
//
// - A batch is noted, durably, with its number and its cut, before it is sent. So a later run sends
//   the very same batch under the same number, and the server tells whether it had it.
// - It is forgotten, and its end becomes the place to go on from, only once it is known to be
//   durable: what a server has merely accepted it may forget.
// - An answer that does not fit its batch ends the append: then somebody else counts with the same
//   producer, and numbers would no longer mean batches.

/** Batches not known to be durable, at most; a server remembers the answers of the last 64. */
const PENDING_MAX = 16

const count = z.number().int().min(0)

/** A batch that may have been sent. */
const Cut = z.strictObject({
  /** Where in the input its last record ends. */
  end: count,
  count,
  bodyBytes: count,
  crc32: count,
})
type Cut = z.infer<typeof Cut>

export const LedgerState = z.strictObject({
  producer: z.strictObject({ id: z.string().min(1), epoch: count }),
  /** Everything up to here is appended, and durable. */
  durable: z.strictObject({
    /** Byte of the input at which the next record starts. */
    position: count,
    /** Number of the next batch. */
    seq: count,
    records: count,
    bodyBytes: count,
    firstOffset: count.nullable(),
    nextOffset: count.nullable(),
  }),
  /** Batches from `seq` on, in order. */
  pending: z.array(Cut),
})
export type LedgerState = z.infer<typeof LedgerState>

/** Makes a state durable; it is complete when nothing is left to append. */
export type SaveState = (state: LedgerState, isComplete: boolean) => Promise<void>

export type NumberedBatch = {
  readonly producer: Producer
  /** Whether it may have been sent before. */
  readonly isRepeat: boolean
  /** Whether its answer has to wait until it is durable, whatever the stream is set to. */
  readonly mustBeDurable: boolean
}

/** Of a new append by `producer`. */
export function newLedgerState(producer: LedgerState['producer']): LedgerState {
  const none = { records: 0, bodyBytes: 0, firstOffset: null, nextOffset: null }
  return { producer, durable: { position: 0, seq: 0, ...none }, pending: [] }
}

export class AppendLedger {
  #state: LedgerState
  readonly #save: SaveState | undefined
  /** Pending batches that an earlier run cut, and that this one has not sent yet. */
  #toRepeat: number
  /** Pending batches that were sent by this run. */
  #sent = 0
  #answers: AppendAnswer[] = []

  /** @param save makes a state durable; undefined where the append cannot be gone on with */
  constructor(state: LedgerState, save?: SaveState) {
    this.#state = state
    this.#save = save
    this.#toRepeat = state.pending.length
  }

  get state(): LedgerState {
    return this.#state
  }

  /** Records of the next batch, where an earlier run has cut it. */
  get nextCount(): number | undefined {
    return this.#toRepeat > 0 ? this.#state.pending[this.#sent]?.count : undefined
  }

  /**
   * Gives the next batch its number, and notes it.
   * @throws CommandFailure when it is not the one that an earlier run cut
   */
  async note(batch: Batch): Promise<NumberedBatch> {
    const { producer, durable, pending } = this.#state
    const seq = durable.seq + this.#sent
    const isRepeat = this.#toRepeat > 0
    const cut = cutOf(batch)
    if (isRepeat) {
      this.#checkRepeat(cut)
      this.#toRepeat -= 1
    } else {
      this.#state = { ...this.#state, pending: [...pending, cut] }
      await this.#save?.(this.#state, false)
    }
    this.#sent += 1
    const isLastRepeat = isRepeat && this.#toRepeat === 0
    const mustBeDurable = this.#sent >= PENDING_MAX || isLastRepeat
    return { producer: { ...producer, seq }, isRepeat, mustBeDurable }
  }

  /**
   * Takes the answer to the batch that was noted last.
   * @param wasRetried whether this run sent it more than once
   * @throws CommandFailure when it is not the answer to this batch
   */
  settle(batch: Batch, numbered: NumberedBatch, answer: AppendAnswer, wasRetried: boolean): void {
    const { id, epoch, seq } = numbered.producer
    const name = `batch ${seq} of producer ${JSON.stringify(id)}, epoch ${epoch}`
    if (answer.duplicate && !numbered.isRepeat && !wasRetried) {
      throw new CommandFailure(
        `${name}, was never sent, but the server has one: somebody else uses this producer; ` +
          'choose another with --producer, or a higher --epoch',
      )
    }
    if (answer.count !== batch.count) {
      throw new CommandFailure(
        `${name}, has ${batch.count} records, but the server has one with ${answer.count}: ` +
          'somebody else uses this producer, or the state is an old one',
      )
    }
    this.#answers.push(answer)
    if (answer.durable) this.#forget()
  }

  /** Takes back the batch that was noted last, which was not applied. */
  async retract(): Promise<void> {
    this.#sent -= 1
    this.#state = { ...this.#state, pending: this.#state.pending.slice(0, this.#sent) }
    await this.#save?.(this.#state, false)
  }

  /** Everything that was answered is durable now. */
  async finish(): Promise<void> {
    this.#forget()
    await this.#save?.(this.#state, true)
  }

  /** Drops the batches that were answered: what is durable is a prefix. */
  #forget(): void {
    const { durable, pending } = this.#state
    const done = pending.slice(0, this.#answers.length)
    this.#state = {
      ...this.#state,
      durable: {
        position: done.at(-1)?.end ?? durable.position,
        seq: durable.seq + done.length,
        records: done.reduce((sum, cut) => sum + cut.count, durable.records),
        bodyBytes: done.reduce((sum, cut) => sum + cut.bodyBytes, durable.bodyBytes),
        firstOffset: durable.firstOffset ?? this.#answers[0]?.firstOffset ?? null,
        nextOffset: this.#answers.at(-1)?.nextOffset ?? durable.nextOffset,
      },
      pending: pending.slice(done.length),
    }
    this.#sent -= done.length
    this.#answers = []
  }

  #checkRepeat(cut: Cut): void {
    const { pending, durable } = this.#state
    const noted = pending[this.#sent]
    const isSame = noted?.crc32 === cut.crc32 && noted.end === cut.end && noted.count === cut.count
    if (isSame) return
    const start = pending[this.#sent - 1]?.end ?? durable.position
    throw new CommandFailure(
      `bytes ${start} to ${noted?.end ?? start} of the file are not what was sent before: ` +
        'it cannot be gone on with',
    )
  }
}

function cutOf({ bytes, count: records, bodyBytes, end }: Batch): Cut {
  return { end, count: records, bodyBytes, crc32: crc32(bytes) }
}
