import * as assert from 'uvu/assert'
import { StoreError } from '../../src/shared/errors.ts'
import { KIB } from '../../src/shared/limits.ts'
import type { ShardOptions } from '../../src/shared/protocol/shard.ts'
import { DiskError } from '../../src/workers/disk/disk.ts'
import { runSteps } from '../../src/workers/disk/sync-steps.ts'
import { openDataDirectory } from '../../src/workers/recovery/data-directory.ts'
import { reshard } from '../../src/workers/recovery/reshard.ts'
import { CrashClient } from './crash-client.ts'
import { checkTransactions } from './crash-ledger.ts'
import { Random } from './random.ts'
import { Crash, type DiskDefects, SimulatedDisk } from './simulated-disk.ts'
import type { DiskFault } from './simulated-fault.ts'
import { Clock, SIMULATED_OPTIONS, SimulatedShard, STUB_SIGNER } from './simulated-shard.ts'

/** Options that make rare events frequent in a history. */
export const HISTORY_OPTIONS: ShardOptions = {
  ...SIMULATED_OPTIONS,
  checkpointIntervalMs: 200,
  retentionIntervalMs: 100,
  // Small files end often, and are quick to fill with zeros.
  journalFileBytes: 32 * KIB,
  journalBytesMax: 128 * KIB,
}
/** Of every other seed: then many appends go straight to their segment. */
const DIRECT_BYTES = 500
const RESHARD_CHANCE = 0.08
/** One seed in so many signs its checkpoints and verifies every signature. */
const SIGNED_EVERY = 32

// biome-ignore format: a table of configurations
const FLUSHES: readonly Partial<ShardOptions>[] = [
  {}, {}, { flushDelayMs: 5 }, { flushDelayMs: 40, flushOperationsMax: 3 }, { relaxedFlushMs: 20 },
  { flushDelayMs: 100, relaxedFlushMs: 1000 },
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
  /** Things that happen in a life, at most. */
  readonly turns?: number
  /** Whether every life ends with a stop, unless it crashes. */
  readonly isStopped?: boolean
  /** Probability that a start changes the number of shards, and back. */
  readonly reshardChance?: number
  /** Instead of an ordinary simulated one. */
  readonly disk?: (random: Random) => SimulatedDisk
  /** Whether checkpoints are signed, which takes most of a seed's time. */
  readonly isSigned?: boolean
}

/** What happened in a history. */
export type CrashRunCounts = {
  readonly answered: number
  readonly barriers: number
  readonly crashes: number
  /** Of these, so many in the middle of a recovery. */
  readonly nested: number
  /** Completed changes of the number of shards. */
  readonly reshards: number
  /** Operations that the fault made fail. */
  readonly hits: number
}

/** One history under way. */
type Run = {
  readonly random: Random
  readonly disk: SimulatedDisk
  readonly clock: Clock
  readonly client: CrashClient
  readonly engine: ShardOptions
  readonly isSigned: boolean
  readonly turns: number
  readonly stopChance: number
  readonly reshardChance: number
  crashes: number
  nested: number
  reshards: number
  hits: number
}

/**
 * One seeded history: a shard is opened, appended to in every durability mode, by transactions and
 * directly, trimmed, configured, closed, stopped at some operation of its disk, by the process
 * dying or the power failing, and opened again, several times over, at times with another number of
 * shards and back, crashes inside recovery and inside such changes included. After every start each
 * stream is what some prefix of what was sent to it leads to, all that was answered as durable,
 * came before an answered barrier or was read included; its chain verifies from the first record
 * kept, and so do the signatures where they are made.
 * @throws an assertion error that names the seed's broken promise
 */
export function runCrashes(seed: number, options: CrashRunOptions = {}): CrashRunCounts {
  const random = new Random(seed)
  const disk = options.disk?.(random) ?? new SimulatedDisk(random, options.defects)
  const run: Run = {
    random,
    disk,
    clock: new Clock(),
    client: new CrashClient(random, options.largeBytes ?? 9000),
    engine: { ...historyEngine(seed, random), ...options.engine },
    isSigned: options.isSigned ?? seed % SIGNED_EVERY === 0,
    turns: options.turns ?? 30 + random.below(70),
    stopChance: options.isStopped === true ? 1 : 0.3,
    reshardChance: options.reshardChance ?? RESHARD_CHANCE,
    crashes: 0,
    nested: 0,
    reshards: 0,
    hits: 0,
  }
  const lives = options.lives ?? 1 + random.below(3)
  for (let life = 0; life < lives; life += 1) {
    disk.crashAt = disk.operations + random.below(options.operationsMax ?? 400)
    if (life === Math.min(1, lives - 1)) disk.fault = options.fault
    crashing(run, () => live(run))
    recoverBadly(run)
  }
  const shard = open(run)
  check(run, shard)
  shard.settle()
  check(run, shard)
  for (const name of run.client.ledgers.keys()) checkFiles(shard, name)
  const { crashes, nested, reshards, hits } = run
  const { answered, barriers } = run.client
  return { answered, barriers, crashes, nested, reshards, hits }
}

/** Engine options drawn by the seed: the share of direct appends and the flush delay. */
export function historyEngine(seed: number, random: Random): ShardOptions {
  const directBytes = seed % 2 === 0 ? DIRECT_BYTES : HISTORY_OPTIONS.directBytes
  return { ...HISTORY_OPTIONS, directBytes, ...random.pick(FLUSHES) }
}

/** Runs until it ends, or the machine stops; then the machine is off. */
function crashing(run: Run, body: () => void): boolean {
  const { disk, random } = run
  let hasCrashed = false
  try {
    body()
  } catch (error) {
    if (!(error instanceof Crash) && !(error instanceof DiskError)) throw error
    hasCrashed = true
  }
  run.hits += disk.faultHits
  if (random.chance(0.7)) disk.cutPower()
  else disk.kill()
  return hasCrashed
}

/** Starts that do not get far: the machine stops in the middle of each recovery. */
function recoverBadly(run: Run): void {
  run.crashes += 1
  while (run.random.chance(0.3)) {
    run.disk.crashAt = run.disk.operations + run.random.below(40)
    if (crashing(run, () => check(run, open(run)))) run.nested += 1
  }
}

function live(run: Run): void {
  const { random, client } = run
  const shard = open(run)
  check(run, shard)
  client.begin(shard, HISTORY_OPTIONS.defaultConfig)
  for (let turn = 0; turn < run.turns && !shard.hasFailed; turn += 1) {
    if (random.chance(0.6)) client.sendSome(shard)
    shard.step()
    if (random.chance(0.05)) readSome(run, shard)
  }
  if (random.chance(run.stopChance)) shard.stop()
}

function readSome(run: Run, shard: SimulatedShard): void {
  const [name, ledger] = run.random.pick([...run.client.ledgers])
  ledger.read(readBack(run, shard, name))
}

/**
 * Compares a freshly opened shard with the ledger.
 * @throws DiskError when the disk failed under the start, which then serves reads alone
 */
function check(run: Run, shard: SimulatedShard): void {
  const { refused } = shard.recovered
  if (refused !== null && run.disk.faultHits > 0) throw new DiskError('EIO', 'read', refused)
  assert.is(refused, null, 'no journal is refused without damage')
  const { ledgers } = run.client
  for (const [name, ledger] of ledgers) {
    ledger.reopened(readBack(run, shard, name))
    if (run.isSigned) checkSignatures(shard, name)
  }
  checkTransactions(ledgers.values())
}

/** @throws DiskError when the disk failed under the read, which readers answer by name */
function readBack({ isSigned, disk }: Run, shard: SimulatedShard, name: string) {
  const { faultHits } = disk
  try {
    return shard.show(name, isSigned ? 'genesis' : 'links')
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    if (disk.faultHits > faultHits) throw new DiskError('EIO', 'read', name, error)
    error.message = `${name}: ${error.message}`
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

/** @throws DiskError if the disk failed during the start, which may then be refused */
function open(run: Run): SimulatedShard {
  const { faultHits } = run.disk
  try {
    changeShards(run)
    const shard = start(run)
    const { damage, refused } = shard.recovered
    const isFaulty = run.disk.faultHits > faultHits
    if (isFaulty && refused !== null) throw new DiskError('EIO', 'open', refused)
    if (!isFaulty) assert.equal(damage, [], 'no crash is named as damage')
    return shard
  } catch (error) {
    const isFaulty = run.disk.faultHits > faultHits
    if (!isFaulty || !(error instanceof StoreError)) throw error
    throw new DiskError('EIO', 'open', '', error)
  }
}

/** With a flusher that also runs in the middle of what the engine does, as a thread would. */
function start({ disk, random, clock, engine, isSigned }: Run): SimulatedShard {
  const signer = isSigned ? undefined : STUB_SIGNER
  return new SimulatedShard(disk, random, clock, engine, 0.3, undefined, signer)
}

/** Sometimes changes the number of shards, and back to one, also after a crash in between. */
function changeShards(run: Run): void {
  const { disk, random, clock, engine, reshardChance } = run
  const environment = clock.environment(random)
  const counts = random.chance(reshardChance) ? [2 + random.below(3), 1] : [1]
  for (const shards of counts) {
    const { header } = openDataDirectory(disk, environment, 1)
    if (header.shards === shards) continue
    runSteps(disk, reshard(disk, environment, header, shards, engine))
    run.reshards += 1
  }
}
