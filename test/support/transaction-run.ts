import * as assert from 'uvu/assert'
import { StoreError } from '../../src/shared/errors.ts'
import type { ShardOptions } from '../../src/shared/protocol/shard.ts'
import type { Durability } from '../../src/shared/protocol/streams.ts'
import { DiskError } from '../../src/workers/disk/disk.ts'
import { Random } from './random.ts'
import { Crash, SimulatedDisk } from './simulated-disk.ts'
import type { DiskFault } from './simulated-fault.ts'
import { Clock, encodeTexts } from './simulated-shard.ts'
import { SimulatedStore, type StoreDefect } from './simulated-store.ts'
import { OutsideLedger, type Sent } from './transaction-ledger.ts'

const STREAMS = ['a', 'b', 'c/d', 'e', 'ünïcode', 'g'] as const
const LIVES = 3
const TURNS = 200
const SHARDS_MAX = 4
/** Probability that a start changes the number of shards. */
const RESHARD_CHANCE = 0.25

// biome-ignore format: a table of configurations
const FLUSHES: readonly Partial<ShardOptions>[] = [
  {}, {}, { relaxedFlushMs: 20 }, { flushDelayMs: 40, flushOperationsMax: 3 },
  { flushDelayMs: 100, relaxedFlushMs: 1000 },
]

const DURABILITIES: readonly (Durability | undefined)[] = [
  undefined,
  undefined,
  'immediate',
  'group',
  'relaxed',
  'relaxed',
]

export type TransactionRunOptions = {
  readonly defect?: StoreDefect
  readonly fault?: DiskFault
}

/** What happened in a history. */
export type TransactionRunCounts = {
  readonly answered: number
  readonly barriers: number
  readonly crashes: number
  /** Starts with a newly drawn number of shards. */
  readonly reshards: number
}

/**
 * Runs one seeded history. A store of some shards gets transactions, appends of every durability,
 * barriers and deletes, and its threads die. At some operation of the disk the process dies or the
 * power fails. This is repeated, also inside recovery and inside a change of the number of shards.
 * After every start each transaction is whole or absent in all streams. What was answered as
 * durable, came before an answered barrier or was read is there, and no stream is held.
 * @throws an assertion error that names the seed's broken promise
 */
export async function runTransactions(
  seed: number,
  { defect, fault }: TransactionRunOptions = {},
): Promise<TransactionRunCounts> {
  const random = new Random(seed)
  const disk = new SimulatedDisk(random)
  const clock = new Clock()
  const ledger = new OutsideLedger()
  const engine = random.pick(FLUSHES)
  let shards = 2 + random.below(3)
  let [crashes, reshards] = [0, 0]
  const open = () => {
    const isChanged = random.chance(RESHARD_CHANCE)
    if (isChanged) shards = 1 + random.below(SHARDS_MAX)
    const onRestart = () => ledger.restart()
    const store = new SimulatedStore(disk, random, clock, { shards, defect, engine, onRestart })
    if (isChanged) reshards += 1
    return store
  }
  for (let life = 0; life < LIVES; life += 1) {
    disk.crashAt = disk.operations + random.below(life === 0 ? 900 : 600)
    if (life === 1) disk.fault = fault
    try {
      await live(open(), random, ledger)
    } catch (error) {
      if (!(error instanceof Crash) && !(error instanceof DiskError)) throw error
      crashes += 1
    }
    if (ledger.defect !== undefined) throw ledger.defect
    if (random.chance(0.6)) disk.cutPower()
    else disk.kill()
  }
  await begin(open(), ledger)
  const { answered, barriers } = ledger
  return { answered, barriers, crashes, reshards }
}

async function live(store: SimulatedStore, random: Random, ledger: OutsideLedger): Promise<void> {
  await begin(store, ledger)
  for (let turn = 0; turn < TURNS; turn += 1) {
    if (random.chance(0.25)) sendSome(store, random, ledger)
    await store.step()
    if (random.chance(0.05)) readSome(store, random, ledger)
  }
  if (random.chance(0.2)) await store.stop()
}

/** Holds a freshly opened store against what the outside knows. */
async function begin(store: SimulatedStore, ledger: OutsideLedger): Promise<void> {
  for (const { recovered } of store.shards) {
    assert.is(recovered.refused, null, 'no journal is refused without damage')
  }
  await store.start()
  if (store.shards.some(({ hasFailed }) => hasFailed)) return
  for (const shard of store.shards) assert.is(shard.stats().stagedTransactions, 0, 'none is held')
  ledger.check(new Map(STREAMS.map(stream => [stream, readBack(store, stream)])))
}

function sendSome(store: SimulatedStore, random: Random, ledger: OutsideLedger): void {
  const stream = random.pick(STREAMS)
  if (random.chance(0.05)) return deleteOne(store, ledger, stream)
  if (random.chance(0.05)) return barrier(store, ledger)
  if (random.chance(0.03)) return configureOne(store, random, ledger, stream)
  if (random.chance(0.4)) return appendOne(store, random, ledger, stream)
  const count = 2 + random.below(4)
  const streams = new Set(Array.from({ length: count }, () => random.pick(STREAMS)))
  const parts = new Map([...streams].map(name => [name, random.below(300)]))
  const sent = ledger.send('transaction', parts, expectedOf(random, ledger, [...streams]))
  const appends = [...sent.parts].map(([name, bodies]) => {
    const expectedOffset = sent.expected.get(name)
    const common = { stream: name, batch: encodeTexts(bodies), count: bodies.length }
    return expectedOffset === undefined ? common : { ...common, expectedOffset }
  })
  note(
    ledger,
    sent,
    store.transact(appends).then(() => true),
  )
}

function appendOne(
  store: SimulatedStore,
  random: Random,
  ledger: OutsideLedger,
  stream: string,
): void {
  const length = random.chance(0.03) ? 9000 : random.below(400)
  const parts = new Map([[stream, length]])
  const sent = ledger.send('append', parts, expectedOf(random, ledger, [stream]))
  const bodies = sent.parts.get(stream) ?? []
  const batch = encodeTexts(bodies)
  const expectedOffset = sent.expected.get(stream)
  const place = { at: 0, length: batch.length, count: bodies.length }
  const mutation = { kind: 'append', stream, ...place, expectedOffset } as const
  const durability = random.pick(DURABILITIES)
  const append = { ...mutation, durability, producer: undefined }
  const done = store.mutate(store.shardOf(stream), append, batch).then(({ durable }) => {
    const mayBeEarly = durability === undefined || durability === 'relaxed'
    assert.ok(durable || mayBeEarly, `${stream}: answered before it was durable, as not asked for`)
    return durable
  })
  note(ledger, sent, done)
}

/** Everything that was accepted before, relaxed or not, is durable once it is answered. */
function barrier(store: SimulatedStore, ledger: OutsideLedger): void {
  store.barrier().then(ledger.barrier(), (error: unknown) => isNotApplied(ledger, error))
}

/** Whether a stream's appends are relaxed is not known outside: each answer says it. */
function configureOne(
  store: SimulatedStore,
  random: Random,
  ledger: OutsideLedger,
  stream: string,
): void {
  const durability = random.pick(['relaxed', 'group', 'immediate'] as const)
  const change = { kind: 'configure', stream, change: { durability } } as const
  store.mutate(store.shardOf(stream), change).catch((error: unknown) => {
    isNotApplied(ledger, error) // where there is no such stream
  })
}

function deleteOne(store: SimulatedStore, ledger: OutsideLedger, stream: string): void {
  const sent = ledger.delete(stream)
  store.mutate(store.shardOf(stream), { kind: 'delete', stream }).then(
    () => ledger.answerDelete(sent, false),
    (error: unknown) => {
      if (isNotApplied(ledger, error)) ledger.answerDelete(sent, true)
    },
  )
}

function expectedOf(random: Random, ledger: OutsideLedger, streams: readonly string[]) {
  const asking = streams.filter(() => random.chance(0.15))
  return new Map(asking.map(stream => [stream, ledger.seenLength(stream)]))
}

/** @param done resolves with whether it is durable */
function note(ledger: OutsideLedger, sent: Sent, done: Promise<boolean>): void {
  done.then(
    durable => ledger.answer(sent, durable),
    (error: unknown) => {
      if (isNotApplied(ledger, error)) sent.state = 'refused'
    },
  )
}

/** Whether it says so; after any other failure it may be there or not. */
function isNotApplied(ledger: OutsideLedger, error: unknown): boolean {
  if (error instanceof StoreError) return error.fields['outcome'] === 'not_applied'
  ledger.defect ??=
    error instanceof Error ? error : new Error('an answer is none', { cause: error })
  return false
}

function readSome(store: SimulatedStore, random: Random, ledger: OutsideLedger): void {
  const stream = random.pick(STREAMS)
  ledger.read(stream, readBack(store, stream))
}

function readBack(store: SimulatedStore, stream: string): string[] {
  try {
    return store.shards[store.shardOf(stream)]?.read(stream, 'links') ?? []
  } catch (error) {
    if (error instanceof StoreError) assert.unreachable(`${stream}: ${error.message}`)
    throw error
  }
}
