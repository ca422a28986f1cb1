import * as assert from 'uvu/assert'
import { StoreError } from '../../src/shared/errors.ts'
import { KIB } from '../../src/shared/limits.ts'
import type { ShardOptions } from '../../src/shared/protocol/shard.ts'
import type { Producer, StreamConfig } from '../../src/shared/protocol/streams.ts'
import { DiskError } from '../../src/workers/disk/disk.ts'
import { Ledger, type Shown } from './crash-ledger.ts'
import { Random } from './random.ts'
import { Crash, type DiskDefects, type DiskFault, SimulatedDisk } from './simulated-disk.ts'
import { Clock, SIMULATED_OPTIONS, SimulatedShard } from './simulated-shard.ts'

const STREAMS = ['a', 'b/c', 'ünïcode'] as const
/** It has a bound on its records, and is never deleted. */
const RETAINED = 'retained'
const KEPT_RECORDS = 100
const LIVES = 4
const PRODUCER = 'producer'

const OPTIONS = { ...SIMULATED_OPTIONS, checkpointIntervalMs: 200, retentionIntervalMs: 100 }
/** Of every other seed: then many appends go straight to their segment. */
const DIRECT_BYTES = 500

// biome-ignore format: a table of configurations
const CONFIGS: readonly Partial<StreamConfig>[] = [
  { checkpointEvery: 3 },   { maxSegmentBytes: 4 * KIB },  { compression: 'lz4' },
  { checkpointEvery: 1000 }, { maxSegmentBytes: 8 * KIB }, { compression: 'none' },
]

export type CrashRunOptions = {
  readonly defects?: DiskDefects
  readonly fault?: DiskFault
  /** Operations of the disk before the machine stops, at most. */
  readonly operationsMax?: number
  /** Instead of the simulation's own. */
  readonly engine?: Partial<ShardOptions>
  /** Of the large batch that now and then comes. */
  readonly largeBytes?: number
  /** Starts of the shard. */
  readonly lives?: number
  /** Instead of an ordinary simulated one. */
  readonly disk?: (random: Random) => SimulatedDisk
}

/** The outside: what it knows, and what it does next. */
type Outside = {
  readonly random: Random
  readonly ledgers: ReadonlyMap<string, Ledger>
  readonly options: CrashRunOptions
}

/**
 * One seeded history: a shard is opened, appended to, trimmed, configured, stopped at some
 * operation of its disk, by the process dying or the power failing, and opened again, several times
 * over, crashes inside recovery included. After every start each stream is what some prefix of what
 * was sent to it leads to, all that was answered or read included; its chain verifies from the
 * first record kept, and so do the signatures in it.
 * @throws an assertion error that names the seed's broken promise
 */
export function runCrashes(seed: number, options: CrashRunOptions = {}): void {
  const random = new Random(seed)
  const disk = options.disk?.(random) ?? new SimulatedDisk(random, options.defects)
  const ledgers = new Map(STREAMS.map(name => [name as string, new Ledger(name)]))
  ledgers.set(RETAINED, new Ledger(RETAINED, KEPT_RECORDS))
  const directBytes = seed % 2 === 0 ? DIRECT_BYTES : OPTIONS.directBytes
  const engine = { directBytes, ...options.engine }
  const outside = { random, ledgers, options: { ...options, engine } }
  const clock = new Clock()
  for (let life = 0; life < (options.lives ?? LIVES); life += 1) {
    disk.crashAt = disk.operations + random.below(options.operationsMax ?? 400)
    if (life === 1) disk.fault = options.fault
    try {
      live(disk, clock, outside)
    } catch (error) {
      if (!(error instanceof Crash) && !(error instanceof DiskError)) throw error
    }
    if (random.chance(0.7)) disk.cutPower()
    else disk.kill()
  }
  const shard = open(disk, clock, outside)
  check(shard, ledgers)
  shard.settle()
  check(shard, ledgers)
  for (const name of ledgers.keys()) checkFiles(shard, name)
}

function live(disk: SimulatedDisk, clock: Clock, outside: Outside): void {
  const { random, ledgers } = outside
  const shard = open(disk, clock, outside)
  check(shard, ledgers)
  createRetained(shard)
  for (const [name, ledger] of ledgers) repeat(shard, random, name, ledger)
  for (let turn = 0; turn < 120 && !shard.hasFailed; turn += 1) {
    if (random.chance(0.6)) sendSome(shard, outside)
    shard.step()
    if (random.chance(0.05)) readSome(shard, outside)
  }
  if (random.chance(0.3)) shard.stop()
}

function createRetained(shard: SimulatedShard): void {
  const retention = { maxRecords: KEPT_RECORDS }
  const config = { ...OPTIONS.defaultConfig, retention, checkpointEvery: 50 }
  shard.mutate({ kind: 'create', stream: RETAINED, config }, NO_BYTES, () => undefined)
}

function sendSome(shard: SimulatedShard, { random, ledgers, options }: Outside): void {
  const name = random.pick([...ledgers.keys()])
  const ledger = ledgers.get(name) as Ledger
  const log = shard.recovered.table.assigned(name)
  const choice = random.next()
  if (log !== undefined && choice < 0.15) return change(shard, random, name, ledger, log.nextOffset)
  const length = random.chance(0.03) ? (options.largeBytes ?? 9000) : random.below(600)
  const count = 1 + random.below(name === RETAINED ? 20 : 3)
  const bodies = Array.from({ length: count }, () => ledger.nextBody(length / count))
  const byProducer = random.chance(0.5)
  const seq = byProducer ? ledger.nextSeq : undefined
  ledger.send({ kind: 'batch', bodies, byProducer }, settled =>
    shard.append(name, bodies, settled, { producer: producerOf(seq) }),
  )
  if (random.chance(0.05)) repeat(shard, random, name, ledger)
}

/** Something that appends nothing. */
function change(
  shard: SimulatedShard,
  random: Random,
  stream: string,
  ledger: Ledger,
  nextOffset: number,
): void {
  const choice = random.below(5)
  if (choice === 0 && stream !== RETAINED) {
    return ledger.send({ kind: 'delete' }, settled => shard.remove(stream, settled))
  }
  if (choice === 1) {
    return shard.mutate({ kind: 'checkpoint', stream }, NO_BYTES, () => undefined)
  }
  if (choice === 2) {
    const mutation = { kind: 'configure', stream, change: random.pick(CONFIGS) } as const
    return shard.mutate(mutation, NO_BYTES, () => undefined)
  }
  const before = random.chance(0.3) ? nextOffset : random.below(nextOffset + 1)
  ledger.send({ kind: 'trim', before }, settled =>
    shard.mutate({ kind: 'trim', stream, before }, NO_BYTES, settled),
  )
}

/** An append that was accepted comes again: it is answered as it was, and appends nothing. */
function repeat(shard: SimulatedShard, random: Random, name: string, ledger: Ledger): void {
  const { knownSeq } = ledger
  if (knownSeq === 0) return
  const seq = Math.max(0, knownSeq - 1 - random.below(5))
  const expected = ledger.offsetsOf(seq)
  shard.append(
    name,
    ['again'],
    result => {
      if ('error' in result) return
      const { firstOffset, nextOffset, duplicate } = result.value as Answer
      assert.equal([firstOffset, nextOffset, duplicate], [...expected, true], `${name} seq ${seq}`)
    },
    { producer: producerOf(seq) },
  )
}

type Answer = {
  readonly firstOffset: number
  readonly nextOffset: number
  readonly duplicate: boolean
}

function readSome(shard: SimulatedShard, { random, ledgers }: Outside): void {
  const [name, ledger] = random.pick([...ledgers])
  ledger.read(readBack(shard, name))
}

/** Holds a freshly opened shard against what the outside knows. */
function check(shard: SimulatedShard, ledgers: ReadonlyMap<string, Ledger>): void {
  assert.is(shard.recovered.refused, null, 'no journal is refused without damage')
  for (const [name, ledger] of ledgers) {
    ledger.reopened(readBack(shard, name))
    checkSignatures(shard, name)
  }
}

function readBack(shard: SimulatedShard, name: string): Shown {
  try {
    return shard.show(name)
  } catch (error) {
    if (error instanceof StoreError) assert.unreachable(`${name}: ${error.message}`)
    throw error
  }
}

/** Checkpoints are found page by page as at once; that they are signed the read has checked. */
function checkSignatures(shard: SimulatedShard, name: string): void {
  const whole = shard.checkpoints(name, 0, Number.MAX_SAFE_INTEGER).checkpoints
  const paged = []
  for (let from: number | null = 0; from !== null; ) {
    const page = shard.checkpoints(name, from, 2)
    paged.push(...page.checkpoints)
    from = page.next
  }
  assert.equal(paged, whole, `${name}: checkpoints in pages`)
}

/** Segments that are trimmed whole are gone, those that are kept are there. */
function checkFiles(shard: SimulatedShard, name: string): void {
  const stored = shard.recovered.table.durable(name)?.stored
  const expected = stored === undefined ? [] : rangeOf(stored)
  // Behind the end there may be what an append left that no frame came to refer to.
  const end = expected.at(-1) ?? (stored?.segment ?? 0) - 1
  const found = shard.segmentNumbers(name).filter(number => stored === undefined || number <= end)
  assert.equal(found, expected, `${name}: segments`)
}

function rangeOf(stored: {
  firstSegment: number
  segment: number
  segmentBytes: number
}): number[] {
  const { firstSegment, segment, segmentBytes } = stored
  const end = segmentBytes > 0 ? segment + 1 : segment
  return Array.from({ length: end - firstSegment }, (_, at) => firstSegment + at)
}

/** With a flusher that also runs in the middle of what the engine does, as a thread would. */
function open(disk: SimulatedDisk, clock: Clock, { random, options }: Outside): SimulatedShard {
  return new SimulatedShard(disk, random, clock, { ...OPTIONS, ...options.engine }, 0.3)
}

function producerOf(seq: number | undefined): Producer | undefined {
  return seq === undefined ? undefined : { id: PRODUCER, epoch: 0, seq }
}

const NO_BYTES = Buffer.alloc(0)
