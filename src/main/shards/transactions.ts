import { randomBytes } from 'node:crypto'
import { crash } from '../../shared/assert.ts'
import { StoreError } from '../../shared/errors.ts'
import type { Witness } from '../../shared/format/frame.ts'
import type { FoundTransactions, InDoubt, TransactionOutcome } from '../../shared/protocol/shard.ts'
import type { TransactionPart, TransactionResult } from '../../shared/protocol/streams.ts'
import type { TransactionAppend } from '../store.ts'
import { inFlight } from './durable-waits.ts'
import { Participant, type TransactionShard } from './participant.ts'
import { type Part, partsOf } from './transaction-parts.ts'

// The driver of transactions. One that concerns one shard is one frame there. Any other has two
// phases; the lowest of its shards is its coordinator:
//
//   1. prepare, shard by shard in ascending order, so that no two wait for each other: each checks
//      its part, makes it durable as pending, and holds its streams
//   2. decide, in the coordinator: once that frame is durable the transaction is committed
//   3. resolve, in the others; when all are durable it is answered, and the decision forgotten
//
// Before 2 it may be aborted at any time, and is when something fails or time runs out. From where
// 2 was sent on only the coordinator's journal tells: what cannot be read there is never guessed.

export type TransactionsOptions = {
  readonly shards: readonly TransactionShard[]
  readonly shardOf: (stream: string) => number
  /** From the start of a transaction to its decision. */
  readonly timeoutMs: number
  /** Calls back once, after `ms`; returns how to call it off. */
  readonly timer: (ms: number, callback: () => void) => () => void
  /** A random number, 1 to 2^53 - 1. */
  readonly randomId: () => number
}

/** Why a transaction is aborted. */
type Refusal = { readonly error: StoreError; readonly place: number }

export class Transactions {
  readonly #options: TransactionsOptions
  readonly #participants: readonly Participant[]
  /** Those under way, by id. */
  readonly #live = new Map<number, Promise<unknown>>()
  /** What opened shards were found in doubt of, while it is being resolved. */
  readonly #settling = new Set<Promise<unknown>>()
  #isStarted = false
  #isClosing = false

  constructor(options: TransactionsOptions) {
    this.#options = options
    this.#participants = options.shards.map(shard => new Participant(shard))
  }

  /** Resolves what the last life of the process left in doubt; once all shards have opened. */
  async start(): Promise<void> {
    this.#isStarted = true
    await Promise.all(this.#participants.map(participant => this.#settleDoubts(participant)))
  }

  /** @param found null where the journal was refused */
  onOpened(shard: number, found: FoundTransactions | null): void {
    const participant = this.#participant(shard)
    participant.onOpened(found)
    if (this.#isStarted) this.#settleDoubts(participant).catch(crash)
  }

  /** A thread of the shard died; it opens again. */
  onDied(shard: number): void {
    this.#participant(shard).onDied()
  }

  /** The shard failed for good. */
  onGone(shard: number): void {
    this.#participant(shard).onGone()
  }

  /** All of the appends or none; no stream is named twice. Durable when it resolves. */
  async transact(appends: readonly TransactionAppend[]): Promise<TransactionResult> {
    if (this.#isClosing) throw refused('shutting_down', 'no new work is taken')
    const parts = partsOf(appends, this.#options.shardOf)
    const id = this.#options.randomId()
    const deadline = new Deadline(this.#options)
    const [first] = parts as [Part]
    const run =
      parts.length === 1
        ? this.#transactInOne(id, first, deadline)
        : this.#transactInMany(id, parts, deadline)
    try {
      const done = await run
      const results = new Map(done.map(part => [part.stream, part]))
      return {
        transactionId: id.toString(16).padStart(16, '0'),
        appends: appends.map(({ stream }) => results.get(stream) as TransactionPart),
      }
    } finally {
      deadline.cancel()
    }
  }

  /** Takes no new ones, and lets those under way end. */
  async close(): Promise<void> {
    this.#isClosing = true
    while (this.#live.size + this.#settling.size > 0) {
      await Promise.all([...this.#live.values(), ...this.#settling])
    }
  }

  async #transactInOne(
    id: number,
    part: Part,
    deadline: Deadline,
  ): Promise<readonly TransactionPart[]> {
    const participant = this.#participant(part.shard)
    const done = participant.mutate(
      { kind: 'transact', transaction: id, appends: part.shares },
      part.batch,
    )
    this.#watch(id, done)
    // One that waits for another transaction is taken back; one that is in the journal is not.
    deadline.onExpired(() => {
      participant.mutate(resolution(id, 'abort', [])).then(noted, noted) // `done` says how it went
    })
    return partsIn(await done)
  }

  async #transactInMany(
    id: number,
    parts: readonly Part[],
    deadline: Deadline,
  ): Promise<readonly TransactionPart[]> {
    // Until every part of it has ended the shards that open again leave it alone.
    let ended: () => void = noted
    this.#watch(
      id,
      new Promise<void>(resolve => {
        ended = resolve
      }),
    )
    const prepared = await this.#prepareAll(id, parts, deadline)
    if ('refusal' in prepared) {
      const asked = prepared.asked.map(shard => this.#participant(shard))
      Promise.all(asked.map(one => this.#end(one, id, 'abort', []))).then(ended, crash)
      throw prepared.refusal.error.withOutcome('not_applied')
    }
    const { error, shown } = await this.#decideAndResolve(id, parts, prepared.witnesses)
    shown.then(ended, crash)
    if (error !== undefined) throw error
    // A shard that cannot write its journal now ends its part once it can.
    const patience = new Deadline(this.#options)
    const isShown = await patience.orLate(shown, false)
    patience.cancel()
    if (isShown) return prepared.done
    throw new StoreError('shard_failed', 'committed, but a shard failed before it showed it', {
      outcome: 'unknown',
    })
  }

  /** The first phase. `asked` names the shards that may hold a part of it. */
  async #prepareAll(
    id: number,
    parts: readonly Part[],
    deadline: Deadline,
  ): Promise<
    | { done: readonly TransactionPart[]; witnesses: readonly Witness[] }
    | { refusal: Refusal; asked: readonly number[] }
  > {
    const [{ shard: coordinator }] = parts as [Part]
    const done: TransactionPart[] = []
    const asked: number[] = []
    const witnesses: Witness[] = []
    let refusal: Refusal | undefined
    for (const { shard, shares, batch, places } of parts) {
      // What is refused is answered by the first append of the request that cannot be: only a
      // shard with an earlier one is still asked.
      if (refusal !== undefined && (places[0] ?? 0) > refusal.place) continue
      asked.push(shard)
      const prepare = { kind: 'prepare', transaction: id, coordinator, appends: shares } as const
      try {
        const ready = this.#participant(shard).mutate(prepare, batch)
        const prepared = await deadline.orExpired(ready)
        done.push(...partsIn(prepared))
        if (shard !== coordinator) witnesses.push({ shard, lsn: endLsnIn(prepared) })
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
        const share = shares.findIndex(({ stream }) => stream === error.fields['stream'])
        const place = places[share]
        if (place === undefined) return { refusal: { error, place: 0 }, asked }
        if (refusal === undefined || place < refusal.place) refusal = { error, place }
      }
    }
    if (refusal === undefined && deadline.isOver) refusal = { error: expired(), place: 0 }
    return refusal === undefined ? { done, witnesses } : { refusal, asked }
  }

  /**
   * The second phase, which nothing but the disks can stop. `error` says why nothing is committed,
   * or that nobody knows; `shown` resolves once every part has ended, with whether all parts of a
   * committed transaction can be read.
   */
  async #decideAndResolve(
    id: number,
    parts: readonly Part[],
    prepared: readonly Witness[],
  ): Promise<{ readonly error: StoreError | undefined; readonly shown: Promise<boolean> }> {
    const [coordinator, ...others] = parts.map(({ shard }) => this.#participant(shard)) as [
      Participant,
      ...Participant[],
    ]
    const { outcome, error } = await this.#decide(id, coordinator, prepared)
    const shard = (parts[0] as Part).shard
    const witnesses = decisionBy(coordinator, shard, id)
    const all = outcome === 'abort' ? [coordinator, ...others] : others
    const ended = Promise.all(all.map(one => this.#end(one, id, outcome, witnesses)))
    const shown = ended.then(ends => {
      const isShown = outcome === 'commit' && ends.every(isEnded => isEnded)
      if (isShown) coordinator.forget(id)
      return isShown
    })
    if (outcome === 'commit') return { error: undefined, shown }
    return { error: outcome === 'abort' ? error.withOutcome('not_applied') : error, shown }
  }

  /** What the coordinator's journal says in the end. */
  async #decide(
    id: number,
    coordinator: Participant,
    witnesses: readonly Witness[],
  ): Promise<{ outcome: TransactionOutcome; error: StoreError }> {
    const { openings } = coordinator
    try {
      const decided = await coordinator.mutate({ kind: 'decide', transaction: id, witnesses })
      coordinator.noteDecision(id, endLsnIn(decided))
      return { outcome: 'commit', error: inFlight() }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      if (error.fields['outcome'] === 'not_applied') return { outcome: 'abort', error }
      await coordinator.whenOpenedAfter(openings)
      if (!coordinator.isOpen) return { outcome: 'unknown', error }
      return { outcome: coordinator.decisions.has(id) ? 'commit' : 'abort', error }
    }
  }

  /**
   * Ends a part; when the shard dies on the way, once it is open again. False when it is gone: then
   * its next start asks the coordinator.
   */
  async #end(
    participant: Participant,
    id: number,
    outcome: TransactionOutcome,
    witnesses: readonly Witness[],
  ): Promise<boolean> {
    for (;;) {
      const { openings } = participant
      try {
        await participant.mutate(resolution(id, outcome, witnesses))
        return true
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
        await participant.whenOpenedAfter(openings)
        if (!participant.isOpen) return false
        // Where its journal does not hold it as pending any more, it has ended there.
        if (!participant.found?.inDoubt.some(doubt => doubt.id === id)) return true
      }
    }
  }

  /** Resolves what a shard's start found pending, but what is still under way. */
  #settleDoubts(participant: Participant): Promise<unknown> {
    const doubts = participant.found?.inDoubt.filter(({ id }) => !this.#live.has(id)) ?? []
    const settled = Promise.all(doubts.map(doubt => this.#settle(participant, doubt)))
    this.#settling.add(settled)
    return settled.then(() => {
      this.#settling.delete(settled)
      this.#forgetSettled()
    })
  }

  async #settle(participant: Participant, { id, coordinator }: InDoubt): Promise<void> {
    const source = this.#participants[coordinator]
    await source?.whenOpen()
    const outcome = source === undefined ? 'unknown' : outcomeBy(source, id)
    const isOther = source !== undefined && source !== participant
    const witnesses = isOther ? decisionBy(source, coordinator, id) : []
    await this.#end(participant, id, outcome, witnesses)
  }

  /** Decisions outlive their use where a process died; once nobody is in doubt they can go. */
  #forgetSettled(): void {
    if (this.#settling.size > 0 || !this.#participants.every(({ isOpen }) => isOpen)) return
    const settled = this.#participants.flatMap(participant =>
      [...participant.decisions.keys()]
        .filter(id => !this.#live.has(id))
        .map(id => [participant, id] as const),
    )
    for (const [participant, id] of settled) participant.forget(id)
  }

  #watch(id: number, run: Promise<unknown>): void {
    const ended = () => {
      this.#live.delete(id)
    }
    this.#live.set(id, run.then(ended, ended))
  }

  #participant(shard: number): Participant {
    return this.#participants[shard] as Participant
  }
}

/** The time until which a transaction may be aborted for taking too long. */
class Deadline {
  readonly #cancel: () => void
  #listeners: (() => void)[] = []
  isOver = false

  constructor({ timer, timeoutMs }: TransactionsOptions) {
    this.#cancel = timer(timeoutMs, () => {
      this.isOver = true
      for (const listener of this.#listeners) listener()
    })
  }

  onExpired(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** @throws StoreError overloaded when it is over before `ready` is settled */
  orExpired<Value>(ready: Promise<Value>): Promise<Value> {
    const over = new Promise<never>((_, reject) => {
      this.#listeners = [() => reject(expired())]
      if (this.isOver) reject(expired())
    })
    return Promise.race([ready, over])
  }

  /** Resolves with `late` when it is over before `ready` is settled. */
  orLate<Value>(ready: Promise<Value>, late: Value): Promise<Value> {
    const over = new Promise<Value>(resolve => {
      this.#listeners = [() => resolve(late)]
    })
    return Promise.race([ready, over])
  }

  cancel(): void {
    this.#listeners = []
    this.#cancel()
  }
}

/**
 * What became of a transaction that is not under way. No decision means aborted, but only where the
 * journal that would hold it was read.
 */
function outcomeBy(coordinator: Participant, id: number): TransactionOutcome {
  if (coordinator.decisions.has(id)) return 'commit'
  return coordinator.isOpen ? 'abort' : 'unknown'
}

/** What the decision of a transaction says of the journal that holds it, if it is there. */
function decisionBy(coordinator: Participant, shard: number, id: number): readonly Witness[] {
  const lsn = coordinator.decisions.get(id)
  return lsn === undefined ? [] : [{ shard, lsn }]
}

function resolution(
  transaction: number,
  outcome: TransactionOutcome,
  witnesses: readonly Witness[],
) {
  return { kind: 'resolve', transaction, outcome, witnesses } as const
}

function endLsnIn({ value }: { readonly value: unknown }): number {
  return (value as { readonly endLsn: number }).endLsn
}

function partsIn({ value }: { readonly value: unknown }): readonly TransactionPart[] {
  return (value as { readonly appends: readonly TransactionPart[] }).appends
}

function refused(code: 'overloaded' | 'shutting_down', detail: string): StoreError {
  return new StoreError(code, detail, { outcome: 'not_applied' })
}

function expired(): StoreError {
  return refused('overloaded', 'the transaction waited too long for others, and was aborted')
}

function noted(): void {}

/** 53 bits, not zero. */
export function randomTransactionId(): number {
  const bytes = randomBytes(8)
  const id = (bytes.readUInt32LE(0) % 2 ** 21) * 2 ** 32 + bytes.readUInt32LE(4)
  return id === 0 ? randomTransactionId() : id
}

export function startTimer(ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, ms)
  return () => clearTimeout(timer)
}
