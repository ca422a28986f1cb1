import { unreachable } from '../../shared/assert.ts'
import { StoreError } from '../../shared/errors.ts'
import { PAGE_BYTES } from '../../shared/limits.ts'
import type { Witness } from '../../shared/format/frame.ts'
import type { Mutation } from '../../shared/protocol/shard.ts'
import type { Durability } from '../../shared/protocol/streams.ts'
import { Queue } from '../../shared/queue.ts'
import type { Accepted, Commit } from './accepted.ts'
import { Appender, type LargeAppend } from './appender.ts'
import type { DirectAppend, DirectAppends } from './direct-appends.ts'
import type { EngineParts } from './engine-parts.ts'
import { takeCheckpoint } from './lone-checkpoint.ts'
import { withOwnBytes } from './parked-bytes.ts'
import type { SealPolicy } from './seal-policy.ts'
import type { SpaceGuard } from './space-guard.ts'
import type { StagedTransaction } from './staged-transaction.ts'
import { StreamChanges } from './stream-changes.ts'
import { StreamHolds } from './stream-holds.ts'
import { TransactionFrames } from './transaction-frames.ts'
import type { WriteBackFailures } from './write-back-failures.ts'
import { endsTransaction, streamsOf, takesSpace, type WaitingMutation } from './waiting-mutation.ts'

const NOTHING: Accepted = { commit: null, value: null, durability: 'group' }

const DISK_FULL = new StoreError(
  'disk_full',
  'the disk is full, or the process has no file descriptor left: free some; appends then resume',
)
const WITHDRAWN = new StoreError('overloaded', 'the transaction was withdrawn while it waited')
const NOT_PENDING = new StoreError('shard_failed', 'the transaction is not pending in this shard')
const UNDECIDED = new StoreError(
  'shard_failed',
  'the stream is held by an undecided transaction, and the shard that decides it is not ' +
    'available: see /v1/ready for the state of that shard',
)

const NO_WRITE_BACK = new StoreError(
  'shard_failed',
  'the journal is full, because the write-back fails; it is retried: see the log for the reason',
)
const JOURNAL_KEPT = new StoreError(
  'shard_failed',
  'the journal is full, because it must keep a transaction whose deciding shard is not ' +
    'available: see /v1/ready for the state of that shard',
)

/**
 * Holds the mutations that have not become frames yet. The mutations of one stream become frames in
 * the order of their arrival. A mutation for which there is no room blocks all mutations after it.
 * A mutation on a stream that a pending transaction holds is parked, and later ones may pass it.
 *
 * A mutation that ends a transaction overtakes everything, and may exceed the bound on the journal.
 * A write-back makes room in the journal but waits for the end of the transaction, so such a
 * mutation must never wait for room.
 *
 * There is no deadlock. Within a shard: see StreamHolds. Across shards: a transaction waits in one
 * shard at a time, in ascending order, and holds streams, or delays the write-back, only in shards
 * below. So the transactions that hold streams in the highest shard wait for nothing and end. That
 * frees the write-back and the parked mutations of that shard; then the same holds for the next
 * lower one.
 */
export class MutationQueue {
  readonly #parts: EngineParts
  readonly #appender: Appender
  readonly #changes: StreamChanges
  readonly #transactions: TransactionFrames
  readonly #seals: SealPolicy
  readonly #space: SpaceGuard
  readonly #failures: WriteBackFailures
  readonly #holds = new StreamHolds<WaitingMutation>()
  readonly #directs: DirectAppends
  #ends = new Queue<WaitingMutation>()
  #waiting = new Queue<WaitingMutation>()
  #mayPrepare = true

  constructor(
    parts: EngineParts,
    seals: SealPolicy,
    space: SpaceGuard,
    directs: DirectAppends,
    failures: WriteBackFailures,
  ) {
    this.#failures = failures
    this.#parts = parts
    this.#directs = directs
    this.#appender = new Appender(parts, (log, plan) => directs.takes(log, plan))
    this.#changes = new StreamChanges(parts)
    this.#transactions = new TransactionFrames(parts)
    this.#seals = seals
    this.#space = space
    for (const { id, streams } of parts.ledger.all()) this.#holds.hold(streams, id)
  }

  /** Mutations that have not become frames. */
  get length(): number {
    return this.#ends.length + this.#holds.length + this.#waiting.length + this.#directs.length
  }

  get parkedCount(): number {
    return this.#holds.length
  }

  push(waiting: WaitingMutation): void {
    const queue = endsTransaction(waiting.mutation) ? this.#ends : this.#waiting
    queue.push(waiting)
  }

  /** Whether transactions may become pending: not while a write-back waits for pending ones. */
  set mayPrepare(may: boolean) {
    if (may && !this.#mayPrepare) this.#holds.touch()
    this.#mayPrepare = may
  }

  /** Encodes and answers as many mutations as there is room for. */
  drain(now: number, onCommit: (commit: Commit) => void): void {
    const run = (item: WaitingMutation) => this.#run(item, now, onCommit)
    for (let item = this.#ends.peek(); item !== undefined; item = this.#ends.peek()) {
      if (!run(item)) return this.#refuseBlocked()
      this.#ends.shift()
    }
    if (!this.#finishDirects(now, onCommit)) return this.#refuseBlocked()
    const runBounded = (item: WaitingMutation) => {
      const isWithin = this.#hasRoomFor(item)
      if (isWithin && run(item)) return true
      const reason = this.#whyNoRoomComes(isWithin)
      if (reason !== undefined) refuse(item, reason)
      return reason !== undefined
    }
    if (!this.#holds.runFree(({ mutation }) => this.#mayStart(mutation), runBounded)) return
    for (let item = this.#waiting.peek(); item !== undefined; item = this.#waiting.peek()) {
      if (!this.#park(item) && !runBounded(item)) return
      this.#waiting.shift()
    }
  }

  /** Refuses the parked mutations, because nobody will resolve their transactions any more. */
  refuseParked(error: StoreError): void {
    for (const item of this.#holds.take(() => true)) refuse(item, error)
  }

  /** Refuses a direct append whose segment could not be written. */
  refuseDirect(direct: DirectAppend, error: StoreError): void {
    this.#holds.release([direct.log.name])
    refuse(direct.item, error)
  }

  refuseAll(error: StoreError): void {
    for (const direct of this.#directs.takeAll()) this.refuseDirect(direct, error)
    this.refuseParked(error)
    for (const queue of [this.#ends, this.#waiting]) {
      for (let item = queue.shift(); item !== undefined; item = queue.shift()) refuse(item, error)
    }
  }

  /**
   * If no journal file comes for what is first, refuses what waits with it. A decision that is
   * refused aborts its transaction; other ends of transactions are decided already, so they wait.
   */
  #refuseBlocked(): void {
    const reason = this.#whyNoFileComes()
    if (reason === undefined) return
    const isRefused = ({ mutation }: WaitingMutation) =>
      reason !== DISK_FULL || takesSpace(mutation)
    for (const item of this.#holds.take(isRefused)) refuse(item, reason)
    this.#waiting = withoutRefused(this.#waiting, isRefused, reason)
    this.#ends = withoutRefused(this.#ends, ({ mutation }) => mutation.kind === 'decide', reason)
  }

  #whyNoFileComes(): StoreError | undefined {
    if (!this.#parts.buffer.awaitsFile || !this.#failures.has('prepare')) return undefined
    return this.#failures.isOther('prepare') ? NO_WRITE_BACK : DISK_FULL
  }

  /** Parks a mutation that may not run yet, or refuses it. Returns false if it may run. */
  #park(item: WaitingMutation): boolean {
    if (this.#holds.isIdle && this.#mayStart(item.mutation)) return false
    const streams = streamsOf(item.mutation)
    if (this.#holds.isFree(streams) && this.#mayStart(item.mutation)) return false
    if (streams.some(stream => this.#isStuck(stream))) refuse(item, UNDECIDED)
    else {
      this.#holds.park(withOwnBytes(item), streams)
      item.onParked()
    }
    return true
  }

  #mayStart({ kind }: Mutation): boolean {
    return kind !== 'prepare' || this.#mayPrepare
  }

  #isStuck(stream: string): boolean {
    const holder = this.#holds.holderOf(stream)
    return holder !== undefined && this.#parts.ledger.isStuck(holder)
  }

  #hasRoomFor({ mutation }: WaitingMutation): boolean {
    const { buffer, checkpoint, options } = this.#parts
    if (this.#space.isFull && takesSpace(mutation)) return true // it will be refused
    return buffer.endLsn - checkpoint.lsn <= options.journalBytesMax
  }

  /** Returns why waiting for room is in vain; undefined if a flush or a write-back will make it. */
  #whyNoRoomComes(isWithinJournal: boolean): StoreError | undefined {
    if (!isWithinJournal && this.#parts.ledger.hasStuck) return JOURNAL_KEPT
    const isFull = !isWithinJournal && this.#failures.isOther('checkpoint')
    const hasNoFile = this.#parts.buffer.awaitsFile && this.#failures.isOther('prepare')
    return isFull || hasNoFile ? NO_WRITE_BACK : undefined
  }

  /** Performs and answers a mutation. Returns false, and changes nothing, if there is no room. */
  #run(item: WaitingMutation, now: number, onCommit: (commit: Commit) => void): boolean {
    const { mutation } = item
    const isFull = this.#space.isFull && takesSpace(mutation)
    const accepted = isFull ? DISK_FULL : this.#accept(item)
    if (accepted === undefined) return false
    if (accepted === DISK_FULL) refuse(item, DISK_FULL)
    else if (accepted instanceof StoreError) this.#refuseOnceDurable(item, accepted, now)
    else if ('plan' in accepted) this.#startDirect(item, accepted)
    else this.#settle(item, accepted, now, onCommit)
    return true
  }

  /** Starts a direct append. Its stream is held until the journal refers to the records. */
  #startDirect(item: WaitingMutation, large: LargeAppend): void {
    const { id, log } = this.#directs.start(item, large)
    this.#holds.hold([log.name], -id) // transactions have numbers above zero
    item.onParked()
  }

  /** Writes the references to stored direct appends. Returns false if there is no room now. */
  #finishDirects(now: number, onCommit: (commit: Commit) => void): boolean {
    for (const direct of this.#directs.stored) {
      const accepted = this.#directs.finish(direct)
      if (accepted === undefined) return false
      this.#holds.release([direct.log.name])
      this.#settle(direct.item, accepted, now, onCommit)
    }
    return true
  }

  #settle(
    { mutation, answer }: WaitingMutation,
    accepted: Accepted,
    now: number,
    onCommit: (commit: Commit) => void,
  ): void {
    const endLsn = accepted.commit?.endLsn ?? this.#parts.buffer.endLsn
    if (accepted.commit !== null) onCommit(accepted.commit)
    this.#noteWaiting(accepted.durability, now)
    answer({
      value: accepted.value,
      pages: pagesOf(endLsn),
      relaxed: accepted.durability === 'relaxed' && mutation.kind === 'append',
    })
  }

  /**
   * Refuses a mutation for the assigned state of its streams, e.g. their next offsets, which a
   * crash could still undo: the answer waits until everything assigned so far is durable.
   */
  #refuseOnceDurable({ answer }: WaitingMutation, error: StoreError, now: number): void {
    this.#noteWaiting('group', now)
    const refused = error.withOutcome('not_applied').toPlain()
    answer({ error: refused, pages: pagesOf(this.#parts.buffer.endLsn) })
  }

  /** Notes that an answer waits for the filling slot, if that has frames. */
  #noteWaiting(durability: Durability, now: number): void {
    if (this.#parts.buffer.hasFrames) this.#seals.note(durability, now)
  }

  /** Performs a mutation. Returns undefined, and changes nothing, if there is no room now. */
  #perform({ mutation, bytes }: WaitingMutation): Accepted | LargeAppend | undefined {
    switch (mutation.kind) {
      case 'append':
        return this.#appender.append(mutation, bytes)
      case 'create':
        return this.#changes.create(mutation.stream, mutation.config)
      case 'configure':
        return this.#changes.configure(mutation.stream, mutation.change)
      case 'close':
        return this.#changes.close(mutation.stream)
      case 'delete':
        return this.#changes.delete(mutation.stream)
      case 'trim':
        return this.#changes.trim(mutation)
      case 'checkpoint':
        return takeCheckpoint(this.#parts, mutation.stream)
      case 'barrier':
        return this.#changes.barrier()
      case 'transact':
        return this.#transactions.transact(mutation, bytes)
      case 'prepare':
        return this.#prepare(mutation, bytes)
      case 'decide':
        return this.#decide(mutation)
      case 'resolve':
        return this.#resolve(mutation)
      case 'forget':
        this.#parts.ledger.forget(mutation.transaction)
        return NOTHING
      default:
        return unreachable(mutation)
    }
  }

  #prepare(mutation: Extract<Mutation, { kind: 'prepare' }>, bytes: Buffer): Accepted | undefined {
    const accepted = this.#transactions.prepare(mutation, bytes)
    if (accepted !== undefined) this.#holds.hold(streamsOf(mutation), mutation.transaction)
    return accepted
  }

  /** Commits a transaction. @throws StoreError shard_failed when it is not pending here */
  #decide({ transaction, witnesses }: Extract<Mutation, { kind: 'decide' }>): Accepted | undefined {
    const staged = this.#parts.ledger.staged(transaction)
    if (staged === undefined) throw NOT_PENDING
    return this.#end(staged, 'commit', witnesses)
  }

  #resolve(mutation: Extract<Mutation, { kind: 'resolve' }>): Accepted | undefined {
    const { transaction, outcome, witnesses } = mutation
    const { ledger } = this.#parts
    const staged = ledger.staged(transaction)
    if (staged === undefined) {
      this.#withdraw(transaction)
      return NOTHING
    }
    if (outcome === 'unknown') {
      ledger.markStuck(transaction)
      const stuck = new Set(staged.streams)
      const items = this.#holds.take((_, streams) => streams.some(stream => stuck.has(stream)))
      for (const item of items) refuse(item, UNDECIDED)
      return NOTHING
    }
    return this.#end(staged, outcome, witnesses)
  }

  #end(
    staged: StagedTransaction,
    outcome: 'commit' | 'abort',
    witnesses: readonly Witness[],
  ): Accepted | undefined {
    const accepted = this.#transactions.resolve(staged, outcome, witnesses)
    if (accepted !== undefined) this.#holds.release(staged.streams)
    return accepted
  }

  /** Refuses the mutation of a transaction that still waits here, if there is one. */
  #withdraw(transaction: number): void {
    const isIt = ({ mutation }: WaitingMutation) =>
      (mutation.kind === 'prepare' || mutation.kind === 'transact') &&
      mutation.transaction === transaction
    for (const item of this.#holds.take(isIt)) refuse(item, WITHDRAWN)
    this.#waiting = withoutRefused(this.#waiting, isIt, WITHDRAWN)
  }

  #accept(item: WaitingMutation): Accepted | LargeAppend | StoreError | undefined {
    const { buffer } = this.#parts
    const sealedBefore = buffer.sealedNumber
    try {
      const accepted = this.#perform(item)
      // A full slot was sealed on the way, so no answer waits for the seal policy.
      if (buffer.sealedNumber !== sealedBefore) this.#seals.reset()
      return accepted
    } catch (error) {
      if (error instanceof StoreError) return error
      throw error
    }
  }
}

function pagesOf(lsn: number): number {
  return Math.ceil(lsn / PAGE_BYTES) | 0
}

/** Refuses some of a queue. Returns the others, in order. */
function withoutRefused(
  queue: Queue<WaitingMutation>,
  isRefused: (item: WaitingMutation) => boolean,
  reason: StoreError,
): Queue<WaitingMutation> {
  const kept = new Queue<WaitingMutation>()
  for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
    if (isRefused(item)) refuse(item, reason)
    else kept.push(item)
  }
  return kept
}

function refuse({ answer }: WaitingMutation, error: StoreError): void {
  answer({ error: error.withOutcome('not_applied').toPlain() })
}
