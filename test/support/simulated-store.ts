import { inFlight } from '../../src/main/shards/durable-waits.ts'
import { findLostEnds, type JournalEnds } from '../../src/shared/format/journal-ends.ts'
import { shardOf } from '../../src/shared/format/shard-of.ts'
import { Transactions } from '../../src/main/shards/transactions.ts'
import { Turn, type TurnEntry } from '../../src/main/shards/turn.ts'
import { StoreError } from '../../src/shared/errors.ts'
import type { Mutation, MutationValue, ShardOptions } from '../../src/shared/protocol/shard.ts'
import type { TransactionAppend } from '../../src/main/store.ts'
import type { TransactionResult } from '../../src/shared/protocol/streams.ts'
import { runSteps } from '../../src/workers/disk/sync-steps.ts'
import { openDataDirectory } from '../../src/workers/recovery/data-directory.ts'
import { reshard } from '../../src/workers/recovery/reshard.ts'
import { examineShard } from '../../src/workers/recovery/open-shard.ts'
import type { Random } from './random.ts'
import type { SimulatedDisk } from './simulated-disk.ts'
import { type Clock, SIMULATED_OPTIONS, SimulatedShard, STUB_SIGNER } from './simulated-shard.ts'

/** Ways to be broken on purpose, so that a test can show that it would be noticed. */
export type StoreDefect =
  | 'decision answered before it is durable'
  | 'aborted without asking'
  | 'checkpoint passes a pending frame'
  | 'decision forgotten too early'

export type SimulatedStoreOptions = {
  /** A number other than the directory's changes the number of shards. */
  readonly shards: number
  /** Replaces the simulation's own. */
  readonly engine?: Partial<ShardOptions>
  /** Called when a thread died, and what it had accepted and not made durable is lost. */
  readonly onRestart?: () => void
  readonly defect?: StoreDefect | undefined
}

/** Journal checkpoints come often, so that they meet transactions. */
const OPTIONS: ShardOptions = {
  ...SIMULATED_OPTIONS,
  journalBytesMax: 96 * 1024,
  checkpointIntervalMs: 40,
}

/** Turns in which everything that can go on has come to its end. */
const TURNS_MAX = 2000

/** What a shard was sent, and has not been answered. */
type Line = { inbox: TurnEntry[]; sent: Set<TurnEntry> }

/**
 * Several shards on one simulated disk, with the real driver of transactions. Messages reach their
 * shard when `step` lets them, in order; nothing else happens by itself.
 */
export class SimulatedStore {
  readonly shards: SimulatedShard[]
  readonly #disk: SimulatedDisk
  readonly #random: Random
  readonly #clock: Clock
  readonly #options: SimulatedStoreOptions
  readonly #engine: ShardOptions
  readonly #lines: Line[]
  /** How often a shard gets its turn: one may lag far behind the others. */
  readonly #paces: readonly number[]
  readonly #transactions: Transactions
  readonly #timers = new Set<() => void>()

  constructor(disk: SimulatedDisk, random: Random, clock: Clock, options: SimulatedStoreOptions) {
    this.#disk = disk
    this.#random = random
    this.#clock = clock
    this.#options = options
    this.#engine = { ...OPTIONS, ...options.engine }
    this.#changeShards()
    const numbers = Array.from({ length: options.shards }, (_, shard) => shard)
    this.#lines = numbers.map(() => ({ inbox: [], sent: new Set() }))
    this.#paces = numbers.map(() => random.pick([1, 1, 0.3, 0.05]))
    this.#transactions = new Transactions({
      shards: numbers.map(shard => ({
        mutate: (mutation, batch) => this.mutate(shard, mutation, batch),
      })),
      shardOf: stream => this.shardOf(stream),
      timeoutMs: 1,
      timer: (_, callback) => {
        this.#timers.add(callback)
        return () => this.#timers.delete(callback)
      },
      randomId: () => 1 + random.below(2 ** 52),
    })
    for (const [shard, reason] of findLostEnds(numbers.map(shard => this.#examine(shard)))) {
      throw new Error(`shard ${shard} is refused without damage: ${reason}`)
    }
    this.shards = numbers.map(shard => this.#open(shard))
  }

  /** Resolves what the last life left in doubt. */
  async start(): Promise<void> {
    await this.#until(this.#transactions.start())
  }

  shardOf(stream: string): number {
    return shardOf(stream, this.#options.shards)
  }

  mutate(
    shard: number,
    mutation: Mutation,
    batch?: Buffer,
  ): Promise<{ readonly value: MutationValue; readonly durable: boolean }> {
    return new Promise((resolve, reject) => {
      const entry = {
        mutation,
        batch,
        resolve: (value: MutationValue, durable: boolean) => resolve({ value, durable }),
        reject,
      }
      if (this.shards[shard]?.hasFailed === true) reject(gone())
      else this.#line(shard).inbox.push(entry)
    })
  }

  transact(appends: readonly TransactionAppend[]): Promise<TransactionResult> {
    return this.#transactions.transact(appends)
  }

  /** Makes everything durable that was accepted before. */
  async barrier(): Promise<void> {
    await Promise.all(this.shards.map((_, shard) => this.mutate(shard, { kind: 'barrier' })))
  }

  /** Lets one thing happen, chosen by the random source. */
  async step(): Promise<void> {
    const shard = this.#pickShard()
    if (this.#random.chance(0.4)) this.#deliver(shard)
    else this.shards[shard]?.step()
    if (this.#random.chance(0.004)) this.#restart(shard)
    if (this.#random.chance(0.004)) this.#expire()
    this.#noteFailures()
    await turn()
  }

  /** Lets everything go on a little that can. */
  async settleSome(): Promise<void> {
    for (const [shard, simulated] of this.shards.entries()) {
      this.#deliver(shard)
      simulated.flush()
      simulated.runJob()
      simulated.advance()
    }
    this.#clock.pass(20)
    this.#noteFailures()
    await turn()
  }

  async stop(): Promise<void> {
    await this.#until(this.#transactions.close())
    for (const shard of this.shards) shard.stop()
  }

  /** Every time limit that runs is over. */
  expireAll(): void {
    for (const callback of this.#timers) callback()
    this.#timers.clear()
  }

  async #until(done: Promise<void>): Promise<void> {
    let isDone = false
    const isOver = () => isDone
    const noted = done.then(() => {
      isDone = true
    })
    for (let turns = 0; !isOver(); turns += 1) {
      if (turns > TURNS_MAX) throw new Error('it does not come to an end')
      await this.settleSome()
    }
    await noted
  }

  #pickShard(): number {
    for (;;) {
      const shard = this.#random.below(this.#options.shards)
      if (this.#random.chance(this.#paces[shard] as number)) return shard
    }
  }

  #changeShards(): void {
    const environment = this.#clock.environment(this.#random)
    const { shards } = this.#options
    const { header } = openDataDirectory(this.#disk, environment, shards)
    if (header.shards === shards) return
    runSteps(this.#disk, reshard(this.#disk, environment, header, shards, this.#engine))
  }

  /** How far a journal goes, before anything is written. */
  #examine(shard: number): JournalEnds | undefined {
    const ends = examineShard(this.#disk, shard, this.#engine)
    return typeof ends === 'string' ? undefined : ends
  }

  #open(shard: number): SimulatedShard {
    const { shards, defect } = this.#options
    const place = { shard, shards }
    const opened = new SimulatedShard(
      this.#disk,
      this.#random,
      this.#clock,
      this.#engine,
      0.2,
      place,
      STUB_SIGNER,
    )
    const { ledger, transactions: found, damage } = opened.recovered
    if (damage.length > 0) throw new Error(`a crash is named as damage: ${damage[0]?.reason}`)
    if (defect === 'checkpoint passes a pending frame') ledger.needsJournalBelow = () => false
    const isBlind = defect === 'aborted without asking'
    this.#transactions.onOpened(shard, found && isBlind ? { ...found, decisions: [] } : found)
    return opened
  }

  /** A thread dies of a defect: its messages are lost, its disk is not. */
  #restart(shard: number): void {
    // One that failed stays down: what could not be synced is not read back as if it were there.
    if (this.shards[shard]?.hasFailed === true) return
    const line = this.#line(shard)
    this.#transactions.onDied(shard)
    for (const entry of line.inbox) entry.reject(gone())
    for (const entry of line.sent) entry.reject(inFlight())
    this.#lines[shard] = { inbox: [], sent: new Set() }
    this.#options.onRestart?.()
    this.#disk.restartThreads()
    this.shards[shard] = this.#open(shard)
  }

  #deliver(shard: number): void {
    const line = this.#line(shard)
    const entries = line.inbox.splice(0)
    const simulated = this.shards[shard]
    if (entries.length === 0 || simulated === undefined) return
    for (const entry of entries) line.sent.add(entry)
    const { mutations, bytes } = Turn.pack(entries)
    const { defect } = this.#options
    const isEager = ({ kind }: Mutation) =>
      kind === 'decide' && defect === 'decision answered before it is durable'
    simulated.send(
      mutations,
      Buffer.from(bytes.buffer),
      (at, result) => {
        const entry = entries[at] as TurnEntry
        if (!line.sent.delete(entry)) return
        if ('error' in result) entry.reject(StoreError.fromPlain(result.error))
        else entry.resolve(result.value, !result.relaxed)
        this.#forgetEarly(shard, entry.mutation)
      },
      isEager,
    )
  }

  #forgetEarly(shard: number, mutation: Mutation): void {
    if (this.#options.defect !== 'decision forgotten too early') return
    if (mutation.kind !== 'decide') return
    const { transaction } = mutation
    this.mutate(shard, { kind: 'forget', transaction }).catch(() => undefined)
  }

  #expire(): void {
    const [callback] = this.#timers
    if (callback === undefined) return
    this.#timers.delete(callback)
    callback()
  }

  #noteFailures(): void {
    for (const [shard, simulated] of this.shards.entries()) {
      const line = this.#line(shard)
      if (!simulated.hasFailed) continue
      simulated.advance()
      for (const entry of line.inbox.splice(0)) entry.reject(gone())
      for (const entry of line.sent) entry.reject(inFlight())
      line.sent.clear()
      this.#transactions.onGone(shard)
    }
  }

  #line(shard: number): Line {
    return this.#lines[shard] as Line
  }
}

function gone(): StoreError {
  return new StoreError('shard_failed', 'the shard is not there', { outcome: 'not_applied' })
}

/** Lets every promise that can go on do so. */
function turn(): Promise<void> {
  return new Promise(resolve => {
    setImmediate(resolve)
  })
}
