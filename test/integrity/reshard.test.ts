import { hash } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StoreError } from '../../src/shared/errors.ts'
import {
  catalogueCopyPath,
  cataloguePath,
  HEADER_COPY_PATH,
  HEADER_PATH,
} from '../../src/shared/format/paths.ts'
import { shardOf } from '../../src/shared/format/shard-of.ts'
import { runSteps } from '../../src/workers/disk/sync-steps.ts'
import { openDataDirectory } from '../../src/workers/recovery/data-directory.ts'
import { reshard } from '../../src/workers/recovery/reshard.ts'
import type { Shown } from '../support/crash-ledger.ts'
import { Random } from '../support/random.ts'
import { Crash, SimulatedDisk } from '../support/simulated-disk.ts'
import { Clock, SIMULATED_OPTIONS, SimulatedShard } from '../support/simulated-shard.ts'

const STREAMS = Array.from({ length: 6 }, (_, at) => `stream ${at}`)
/** Of each stream: stored ones, then those that are in the journal alone. */
const STORED = 14
const RECORDS = 18
const TRIMMED = 13
/** More than a change of the count takes. */
const OPERATIONS_MAX = 1000

const change = suite('integrity/reshard')

change('every stream goes to its new shard, whole, and takes appends there', () => {
  const store = build(1)
  for (const shards of [4, 2, 1]) {
    start(store, shards)
    assert.equal(contents(store), expected())
    assert.equal(
      STREAMS.map(name => routedTo(store, name)),
      STREAMS.map(name => shardOf(name, shards)),
    )
  }
  for (const name of STREAMS) append(shardFor(store, name), name, RECORDS, RECORDS + 5)
  start(store, 3)
  assert.equal(contents(store), expected(RECORDS + 5))
})

for (const [from, to] of [
  [1, 3],
  [3, 2],
] as const) {
  change(`a crash at any operation of a change from ${from} to ${to} leaves a whole store`, () => {
    for (let at = 0; at < OPERATIONS_MAX; at += 1) {
      if (crashAt(from, to, at) === 'ended') return assert.ok(at > 50, `${at} operations`)
    }
    assert.unreachable('the change ended')
  })
}

change('a damaged shard refuses the change, which touches nothing', () => {
  const store = build(3)
  for (const path of [cataloguePath(1), catalogueCopyPath(1)]) {
    store.disk.content(path).fill(0xff, 20, 40)
  }
  const before = snapshot(store.disk)
  assert.throws(
    () => start(store, 2),
    (error: unknown) => error instanceof StoreError && /shard 1 is damaged/.test(error.message),
  )
  assert.equal(snapshot(store.disk), before)
})

/**
 * Crashes at an operation of the change, and at one of the start after it; then looks. In half of
 * the cases one of the two files that name the shard count is lost with the first crash.
 */
function crashAt(from: number, to: number, at: number): 'crashed' | 'ended' {
  const store = build(from, at)
  const { disk, random } = store
  disk.crashAt = disk.operations + at
  if (!crashes(() => start(store, to))) return 'ended'
  stopMachine(disk, at)
  if (at % 4 < 2) disk.remove([HEADER_PATH, HEADER_COPY_PATH][at % 4] as string)
  const next = random.pick([from, to, 2])
  disk.crashAt = disk.operations + random.below(100)
  if (crashes(() => start(store, next))) stopMachine(disk, at >> 1)
  disk.crashAt = Number.POSITIVE_INFINITY
  start(store, next)
  const message = `crash ${at} of ${from} to ${to}, then ${next}`
  assert.equal(contents(store), expected(), message)
  assert.not.ok(disk.exists('journals.old') || disk.exists('journals.next'), message)
  return 'crashed'
}

type Store = {
  readonly disk: SimulatedDisk
  readonly random: Random
  readonly clock: Clock
  shards: number
}

/** Streams with records in segments and in journals alone, trimmed ones among them. */
function build(shards: number, seed = 1): Store {
  const random = new Random(seed)
  const store = { disk: new SimulatedDisk(random), random, clock: new Clock(), shards }
  const opened = Array.from({ length: shards }, (_, shard) => open(store, shard))
  for (const [at, name] of STREAMS.entries()) {
    const shard = opened[shardOf(name, shards)] as SimulatedShard
    append(shard, name, 0, STORED)
    if (at % 3 !== 0) continue
    shard.mutate({ kind: 'trim', stream: name, before: TRIMMED }, Buffer.alloc(0), () => undefined)
  }
  for (const shard of opened) shard.settle()
  for (const name of STREAMS) {
    const shard = opened[shardOf(name, shards)] as SimulatedShard
    shard.append(name, bodies(name, STORED, RECORDS), () => undefined)
    makeDurable(shard)
  }
  store.disk.kill()
  return store
}

function start(store: Store, shards: number): void {
  const { disk, clock, random } = store
  const environment = clock.environment(random)
  const { header } = openDataDirectory(disk, environment, 1)
  store.shards = shards
  if (header.shards === shards) return
  runSteps(disk, reshard(disk, environment, header, shards, SIMULATED_OPTIONS))
}

function open(store: Store, shard: number): SimulatedShard {
  const { disk, random, clock, shards } = store
  return new SimulatedShard(disk, random, clock, SIMULATED_OPTIONS, 0, { shard, shards })
}

function shardFor(store: Store, name: string): SimulatedShard {
  return open(store, shardOf(name, store.shards))
}

function routedTo(store: Store, name: string): number | undefined {
  const shards = Array.from({ length: store.shards }, (_, shard) => shard)
  return shards.find(shard => open(store, shard).recovered.table.durable(name) !== undefined)
}

function contents(store: Store): string[] {
  const shards = Array.from({ length: store.shards }, (_, shard) => open(store, shard))
  return STREAMS.map(name => summary(shards[shardOf(name, store.shards)]?.show(name)))
}

function expected(count = RECORDS): string[] {
  return STREAMS.map((name, at) => {
    const firstOffset = at % 3 === 0 ? TRIMMED : 0
    return summary({ firstOffset, bodies: bodies(name, firstOffset, count) })
  })
}

function summary(shown: Shown | undefined): string {
  const { firstOffset = 0, bodies: found = [] } = shown ?? {}
  const [first = '', last = ''] = [found[0], found.at(-1)]
  const digest = hash('sha256', found.join()).slice(0, 8)
  return `${firstOffset}: ${found.length}, ${first.trim()} to ${last.trim()}, ${digest}`
}

function bodies(name: string, from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, at) => `${name} ${from + at}`.padEnd(600))
}

/** Appends the records one by one, and makes each durable. */
function append(shard: SimulatedShard, name: string, from: number, to: number): void {
  for (const body of bodies(name, from, to)) {
    shard.append(name, [body], () => undefined)
    makeDurable(shard)
    shard.runJob()
  }
}

function makeDurable(shard: SimulatedShard): void {
  shard.advance()
  while (shard.flush() === 'flushed') shard.advance()
}

function crashes(run: () => void): boolean {
  try {
    run()
  } catch (error) {
    if (error instanceof Crash) return true
    throw error
  }
  return false
}

function stopMachine(disk: SimulatedDisk, at: number): void {
  if (at % 3 === 0) disk.kill()
  else disk.cutPower()
}

function snapshot(disk: SimulatedDisk): string[] {
  return disk.paths().map(path => `${path} ${disk.content(path).toString('base64')}`)
}

change.run()
