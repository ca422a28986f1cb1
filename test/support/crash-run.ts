import * as assert from 'uvu/assert'
import { StoreError } from '../../src/shared/errors.ts'
import type { MutationResult } from '../../src/shared/protocol/shard.ts'
import { DiskError } from '../../src/workers/disk/disk.ts'
import { Random } from './random.ts'
import { Crash, type DiskDefects, type DiskFault, SimulatedDisk } from './simulated-disk.ts'
import { Clock, SIMULATED_OPTIONS, SimulatedShard } from './simulated-shard.ts'

const STREAMS = ['a', 'b/c', 'ünïcode'] as const
const LIVES = 4

/** A batch that was sent, or a delete. */
type Sent = { readonly batch: readonly string[] | 'delete' }

/** What the outside knows of one stream. */
type Ledger = {
  /** What was sent, in order, without what was refused. */
  sent: Sent[]
  /** So many of it were answered as durable, or read. */
  known: number
  /** Makes every body another one. */
  count: number
}

export type CrashRunOptions = {
  readonly defects?: DiskDefects
  readonly fault?: DiskFault
  /** Operations of the disk before the machine stops, at most. */
  readonly operationsMax?: number
}

/**
 * One seeded history: a shard is opened, appended to, stopped at some operation of its disk, by the
 * process dying or the power failing, and opened again, several times over, crashes inside recovery
 * included. After every start each stream is what some prefix of what was sent to it leads to, all
 * that was answered or read included; its chain verifies from the first record.
 * @throws an assertion error that names the seed's broken promise
 */
export function runCrashes(seed: number, options: CrashRunOptions = {}): void {
  const random = new Random(seed)
  const disk = new SimulatedDisk(random, options.defects)
  const ledgers = new Map(STREAMS.map(name => [name, newLedger()] as const))
  const clock = new Clock()
  for (let life = 0; life < LIVES; life += 1) {
    disk.crashAt = disk.operations + random.below(options.operationsMax ?? 400)
    if (life === 1) disk.fault = options.fault
    try {
      live(disk, random, clock, ledgers)
    } catch (error) {
      if (!(error instanceof Crash) && !(error instanceof DiskError)) throw error
    }
    if (random.chance(0.7)) disk.cutPower()
    else disk.kill()
  }
  check(open(disk, random, clock), ledgers)
}

function live(
  disk: SimulatedDisk,
  random: Random,
  clock: Clock,
  ledgers: Map<string, Ledger>,
): void {
  const shard = open(disk, random, clock)
  check(shard, ledgers)
  for (let turn = 0; turn < 120 && !shard.hasFailed; turn += 1) {
    if (random.chance(0.6)) sendSome(shard, random, ledgers)
    shard.step()
    if (random.chance(0.05)) readSome(shard, random, ledgers)
  }
  if (random.chance(0.3)) shard.stop()
}

function sendSome(shard: SimulatedShard, random: Random, ledgers: Map<string, Ledger>): void {
  const name = random.pick(STREAMS)
  const ledger = ledgers.get(name) as Ledger
  if (random.chance(0.03) && shard.recovered.table.assigned(name) !== undefined) {
    return send(ledger, { batch: 'delete' }, settled => shard.remove(name, settled))
  }
  const length = random.chance(0.03) ? 9000 : random.below(600)
  const bodies = Array.from({ length: 1 + random.below(3) }, () => {
    ledger.count += 1
    return `${name} ${ledger.count} ${'x'.repeat(length)}`
  })
  send(ledger, { batch: bodies }, settled => shard.append(name, bodies, settled))
}

function send(
  ledger: Ledger,
  sent: Sent,
  start: (settled: (result: MutationResult) => void) => void,
): void {
  ledger.sent.push(sent)
  start(result => {
    const at = ledger.sent.indexOf(sent)
    if ('error' in result) ledger.sent.splice(at, 1)
    else ledger.known = Math.max(ledger.known, at + 1)
  })
}

/**
 * How much of what was sent leads to what is there, all that is known included; more than one
 * length may, as a delete undoes what came before it.
 */
function matchingLengths(name: string, bodies: readonly string[], ledger: Ledger): number[] {
  const lengths = ledger.sent.map((_, at) => at + 1).concat(0)
  const matching = lengths
    .filter(length => length >= ledger.known)
    .filter(length => equal(stateAfter(ledger.sent.slice(0, length)), bodies))
  const known = stateAfter(ledger.sent.slice(0, ledger.known)).length
  assert.ok(matching.length > 0, `${name}: ${bodies.length} records, ${known} known: no state fits`)
  return matching
}

function stateAfter(sent: readonly Sent[]): string[] {
  const from = sent.findLastIndex(({ batch }) => batch === 'delete') + 1
  return sent.slice(from).flatMap(({ batch }) => batch)
}

function equal(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((body, at) => body === right[at])
}

function readSome(shard: SimulatedShard, random: Random, ledgers: Map<string, Ledger>): void {
  const name = random.pick(STREAMS)
  const ledger = ledgers.get(name) as Ledger
  ledger.known = Math.min(...matchingLengths(name, readBack(shard, name), ledger))
}

/** Holds a freshly opened shard against what the outside knows. */
function check(shard: SimulatedShard, ledgers: Map<string, Ledger>): void {
  assert.is(shard.recovered.refused, null, 'no journal is refused without damage')
  for (const [name, ledger] of ledgers) {
    const length = Math.max(...matchingLengths(name, readBack(shard, name), ledger))
    // What did not survive is as if never sent; what was found was shown to a reader.
    ledger.sent = ledger.sent.slice(0, length)
    ledger.known = length
  }
}

function readBack(shard: SimulatedShard, name: string): string[] {
  try {
    return shard.read(name)
  } catch (error) {
    if (error instanceof StoreError) assert.unreachable(`${name}: ${error.message}`)
    throw error
  }
}

/** With a flusher that also runs in the middle of what the engine does, as a thread would. */
function open(disk: SimulatedDisk, random: Random, clock: Clock): SimulatedShard {
  return new SimulatedShard(disk, random, clock, SIMULATED_OPTIONS, 0.3)
}

function newLedger(): Ledger {
  return { sent: [], known: 0, count: 0 }
}
