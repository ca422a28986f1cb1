import * as assert from 'uvu/assert'
import { KIB } from '../../src/shared/limits.ts'
import type { Durability, Producer, StreamConfig } from '../../src/shared/protocol/streams.ts'
import { Ledger } from './crash-ledger.ts'
import type { Random } from './random.ts'
import type { SimulatedShard } from './simulated-shard.ts'

const STREAMS = ['a', 'b/c', 'ünïcode'] as const
/** It has a bound on its records, and is never deleted or closed. */
const RETAINED = 'retained'
const KEPT_RECORDS = 100
const PRODUCER = 'producer'

// biome-ignore format: a table of configurations
const CONFIGS: readonly Partial<StreamConfig>[] = [
  { checkpointEvery: 3 },   { maxSegmentBytes: 4 * KIB },  { compression: 'lz4' },
  { checkpointEvery: 1000 }, { maxSegmentBytes: 8 * KIB }, { compression: 'none' },
  { durability: 'relaxed' }, { durability: 'group' },      { durability: 'immediate' },
]

const DURABILITIES: readonly (Durability | undefined)[] = [
  undefined,
  undefined,
  undefined,
  'immediate',
  'group',
  'relaxed',
  'relaxed',
]

type Answer = {
  readonly firstOffset: number
  readonly nextOffset: number
  readonly duplicate: boolean
}

/** Sends random changes to a shard, and keeps the ledgers of what it knows of each stream. */
export class CrashClient {
  readonly ledgers: ReadonlyMap<string, Ledger>
  readonly #random: Random
  readonly #largeBytes: number
  #transaction = 0
  answered = 0
  /** Barriers that were answered. */
  barriers = 0

  /** @param largeBytes of the large batch that now and then comes */
  constructor(random: Random, largeBytes: number) {
    this.#random = random
    this.#largeBytes = largeBytes
    const ledgers = new Map(STREAMS.map(name => [name as string, new Ledger(name)]))
    ledgers.set(RETAINED, new Ledger(RETAINED, KEPT_RECORDS))
    this.ledgers = ledgers
  }

  /** What every life of a shard begins with. */
  begin(shard: SimulatedShard, config: StreamConfig): void {
    const retention = { maxRecords: KEPT_RECORDS }
    const retained = { ...config, retention, checkpointEvery: 50 }
    const create = { kind: 'create', stream: RETAINED, config: retained } as const
    shard.mutate(create, NO_BYTES, () => undefined)
    for (const [name, ledger] of this.ledgers) this.#repeat(shard, name, ledger)
  }

  sendSome(shard: SimulatedShard): void {
    const random = this.#random
    const name = random.pick([...this.ledgers.keys()])
    const ledger = this.ledgers.get(name) as Ledger
    const choice = random.next()
    if (choice < 0.05) return this.#barrier(shard)
    if (choice < 0.12) return this.#transact(shard)
    if (choice < 0.27 && shard.recovered.table.assigned(name) !== undefined) {
      return this.#change(shard, name, ledger)
    }
    this.#append(shard, name, ledger)
    if (random.chance(0.05)) this.#repeat(shard, name, ledger)
  }

  #append(shard: SimulatedShard, name: string, ledger: Ledger): void {
    const random = this.#random
    const length = random.chance(0.03) ? this.#largeBytes : random.below(600)
    const count = 1 + random.below(name === RETAINED ? 20 : 3)
    const bodies = Array.from({ length: count }, () => ledger.nextBody(length / count))
    const seq = random.chance(0.5) ? ledger.nextSeq : undefined
    const producer = producerOf(seq)
    const durability = random.pick(DURABILITIES)
    const settled = ledger.note({ kind: 'batch', bodies, seq })
    const { refusedDeletes } = ledger
    shard.append(
      name,
      bodies,
      result => {
        const isEarly = 'value' in result && result.relaxed && !mayBeEarly(durability)
        assert.not(isEarly, `${name}: an append that asked for the disk is answered at once`)
        const isRepeat = 'value' in result && (result.value as Answer).duplicate
        assert.ok(
          !isRepeat || ledger.refusedDeletes > refusedDeletes,
          `${name}: taken for a repeat`,
        )
        settled(result)
        this.answered += 1
      },
      { producer, durability },
    )
  }

  /** Everything that was answered before, relaxed or not, is durable once it is answered. */
  #barrier(shard: SimulatedShard): void {
    const noted = [...this.ledgers.values()].map(ledger => ledger.barrier())
    shard.mutate({ kind: 'barrier' }, NO_BYTES, result => {
      if ('error' in result) return // the shard has failed
      this.barriers += 1
      for (const settle of noted) settle()
    })
  }

  #transact(shard: SimulatedShard): void {
    this.#transaction += 1
    const transaction = this.#transaction
    const some = [...this.ledgers].filter(() => this.#random.chance(0.6))
    const parts = new Map(
      some.map(([name, ledger]) => [name, [ledger.nextBody(this.#random.below(300))]]),
    )
    const settles = some.map(([name, ledger]) => {
      const bodies = parts.get(name) ?? []
      return ledger.note({ kind: 'batch', bodies, transaction })
    })
    if (parts.size === 0) return
    shard.transact(transaction, parts, result => {
      for (const settle of settles) settle(result)
    })
  }

  /** Something that appends nothing. */
  #change(shard: SimulatedShard, stream: string, ledger: Ledger): void {
    const random = this.#random
    const choice = random.below(12)
    const mayEnd = stream !== RETAINED
    if (choice < 2 && mayEnd) {
      return shard.remove(stream, ledger.note({ kind: 'delete' }))
    }
    if (choice === 2 && mayEnd) {
      const settled = ledger.note({ kind: 'close' })
      return shard.mutate({ kind: 'close', stream }, NO_BYTES, settled)
    }
    if (choice < 5) return shard.mutate({ kind: 'checkpoint', stream }, NO_BYTES, () => undefined)
    if (choice < 7) {
      const change = random.pick(CONFIGS)
      return shard.mutate({ kind: 'configure', stream, change }, NO_BYTES, () => undefined)
    }
    const nextOffset = shard.recovered.table.assigned(stream)?.nextOffset ?? 0
    const before = random.chance(0.3) ? nextOffset : random.below(nextOffset + 1)
    const settled = ledger.note({ kind: 'trim', before })
    shard.mutate({ kind: 'trim', stream, before }, NO_BYTES, settled)
  }

  /** An append that was accepted comes again: it is answered as it was, and appends nothing. */
  #repeat(shard: SimulatedShard, name: string, ledger: Ledger): void {
    const { knownSeq } = ledger
    if (knownSeq === 0) return
    const seq = Math.max(0, knownSeq - 1 - this.#random.below(5))
    const expected = ledger.offsetsOf(seq)
    shard.append(
      name,
      ['again'],
      result => {
        if ('error' in result) return
        const { firstOffset, nextOffset, duplicate } = result.value as Answer
        const answer = [firstOffset, nextOffset, duplicate]
        assert.equal(answer, [...expected, true], `${name} seq ${seq}`)
      },
      { producer: producerOf(seq) },
    )
  }
}

/** Whether an append may be answered before it is durable: it, or its stream, says so. */
function mayBeEarly(durability: Durability | undefined): boolean {
  return durability === undefined || durability === 'relaxed'
}

function producerOf(seq: number | undefined): Producer | undefined {
  return seq === undefined ? undefined : { id: PRODUCER, epoch: 0, seq }
}

const NO_BYTES = Buffer.alloc(0)
