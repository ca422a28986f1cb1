import * as assert from 'uvu/assert'
import { StoreError } from '../../src/shared/errors.ts'
import { decodeBlockHeader } from '../../src/shared/format/block.ts'
import { decodeJournalHeader, type JournalHeader } from '../../src/shared/format/journal-header.ts'
import { JOURNALS_PATH, journalPath, streamPath } from '../../src/shared/format/paths.ts'
import { PAGE_BYTES } from '../../src/shared/limits.ts'
import type { ShardOptions } from '../../src/shared/protocol/shard.ts'
import { planRead } from '../../src/workers/engine/read-planner.ts'
import { listJournalFiles } from '../../src/workers/journal/journal-files.ts'
import { JournalDamage } from '../../src/workers/recovery/journal-walk.ts'
import { readStream } from '../../src/workers/streams/read-stream.ts'
import type { StreamLog } from '../../src/workers/streams/stream-log.ts'
import { CrashClient } from './crash-client.ts'
import { HISTORY_OPTIONS, historyEngine } from './crash-run.ts'
import { Random } from './random.ts'
import { SimulatedDisk } from './simulated-disk.ts'
import { SECTOR_BYTES } from './simulated-inode.ts'
import { Clock, SimulatedShard, STUB_SIGNER } from './simulated-shard.ts'

/** What became of a damaged directory. */
export type DamageRunCounts = {
  readonly answered: number
  /** 1 if the shard or the directory was refused. */
  readonly refused: number
  /** 1 if a range of some stream was named as lost. */
  readonly named: number
  /** 1 if everything was whole, perhaps after files were rebuilt. */
  readonly whole: number
}

/** What a reader was shown of a stream before the damage. */
type Truth = {
  readonly id: string
  readonly firstOffset: number
  readonly bodies: string[]
  readonly isClosed: boolean
}

/** What a reader is shown of a stream afterwards: records by offset, and the lost ranges. */
type Found = {
  readonly bodies: ReadonlyMap<number, string>
  readonly lost: readonly (readonly [from: number, to: number])[]
}

type Run = {
  readonly random: Random
  readonly disk: SimulatedDisk
  readonly clock: Clock
  readonly engine: ShardOptions
  readonly truths: Map<string, Truth>
  damaged: readonly string[]
}

type Snapshot = ReadonlyMap<string, Buffer>

/** So many are longer than a relaxed append waits: then the last block is vouched for. */
const QUIET_TURNS = 20
/** A stream whose front retention keeps deleting. */
const RETAINED = 'retained'
/** A stream that is created after the damage. */
const NEWCOMER = 'newcomer'

/**
 * Runs one seeded history with a disk that lied. A shard takes every kind of change, then it or its
 * machine stops. After that, files are missing or hold earlier content, whole or in one sector that
 * was synced since. The next starts refuse the shard, name what is lost, or serve everything. They
 * never serve a wrong record, never hide a missing one, and hurt no stream but the damaged one.
 * Appends to all streams follow, and one more start.
 * @throws an assertion error that names the seed's broken promise
 */
export function runDamage(seed: number): DamageRunCounts {
  const random = new Random(seed)
  const run: Run = {
    random,
    disk: new SimulatedDisk(random),
    clock: new Clock(),
    engine: historyEngine(seed, random),
    truths: new Map(),
    damaged: [],
  }
  const { snapshots, answered } = live(run)
  run.damaged = damage(run, snapshots)
  let isNamed = false
  for (let start = 0; start < 2; start += 1) {
    const shard = reopen(run)
    if (shard === undefined) return { answered, refused: 1, named: 0, whole: 0 }
    isNamed = check(run, shard) || isNamed
    append(run, shard)
    endLife(run)
  }
  return { answered, refused: 0, named: isNamed ? 1 : 0, whole: isNamed ? 0 : 1 }
}

function live(run: Run): { snapshots: readonly Snapshot[]; answered: number } {
  const { random, disk, clock, engine, truths } = run
  const client = new CrashClient(random, 9000)
  const shard = new SimulatedShard(disk, random, clock, engine, 0.3, undefined, STUB_SIGNER)
  client.begin(shard, HISTORY_OPTIONS.defaultConfig)
  const snapshots: Snapshot[] = []
  const turns = 40 + random.below(80)
  for (let turn = 0; turn < turns; turn += 1) {
    if (random.chance(0.6)) client.sendSome(shard)
    shard.step()
    if (random.chance(0.05)) snapshots.push(snapshot(disk))
  }
  const end = random.below(3)
  if (end === 0) shard.stop()
  else if (end === 1) shard.settle()
  sealIdly(shard, clock)
  for (const log of shard.recovered.table.all()) {
    const { bodies, lost } = readAll(disk, log)
    assert.equal(lost, [], `${log.name}: nothing is lost before the damage`)
    truths.set(log.name, {
      id: log.id,
      firstOffset: log.durableFirstOffset,
      bodies: [...bodies.values()],
      isClosed: log.durableState === 'closed',
    })
  }
  endLife(run)
  return { snapshots, answered: client.answered }
}

/** Makes everything durable with a last block that says so, so that a lost end is noticed. */
function sealIdly(shard: SimulatedShard, clock: Clock): void {
  for (let quiet = 0; quiet < QUIET_TURNS; quiet += 1) {
    shard.advance()
    while (shard.flush() === 'flushed') {
      shard.advance()
      quiet = 0
    }
    clock.pass(60)
  }
}

function endLife({ random, disk }: Run): void {
  if (random.chance(0.5)) disk.kill()
  else disk.cutPower()
}

function snapshot(disk: SimulatedDisk): Snapshot {
  return new Map(disk.paths().map(path => [path, Buffer.from(disk.content(path))]))
}

/** Damages one file, or removes two. Returns their paths. */
function damage({ random, disk }: Run, snapshots: readonly Snapshot[]): readonly string[] {
  const choice = random.below(3)
  const old = snapshots.length === 0 ? new Map<string, Buffer>() : random.pick(snapshots)
  const last = lastBlock(disk)
  const changed = disk.paths().filter(path => {
    const before = old.get(path)
    return before !== undefined && !before.equals(disk.content(path))
  })
  if (choice === 0 || changed.length === 0) {
    const paths = [random.pick(disk.paths()), random.pick(disk.paths())]
    const removed = [...new Set(random.chance(0.7) ? paths.slice(1) : paths)]
    for (const path of removed) disk.remove(path)
    return removed
  }
  const path = random.pick(changed)
  const before = old.get(path) as Buffer
  if (choice === 1 && path !== last.path) replace(disk, path, before)
  else loseSector(random, disk, path, before, path === last.path ? last.at : before.length)
  return [path]
}

function replace(disk: SimulatedDisk, path: string, content: Buffer): void {
  const file = disk.open(path, 'create')
  for (let done = 0; done < content.length; ) {
    done += disk.write(file, content.subarray(done), done)
  }
  disk.sync(file)
  disk.close(file)
}

/** Puts back the earlier content of one sector. */
function loseSector(
  random: Random,
  disk: SimulatedDisk,
  path: string,
  before: Buffer,
  end: number,
): void {
  const now = disk.content(path)
  const sectors: number[] = []
  for (let at = 0; at < Math.min(end, before.length, now.length); at += SECTOR_BYTES) {
    const isChanged = !before
      .subarray(at, at + SECTOR_BYTES)
      .equals(now.subarray(at, at + SECTOR_BYTES))
    if (isChanged) sectors.push(at)
  }
  if (sectors.length === 0) return
  const at = random.pick(sectors)
  const file = disk.open(path, 'update')
  const content = before.subarray(at, Math.min(at + SECTOR_BYTES, now.length))
  for (let done = 0; done < content.length; ) {
    done += disk.write(file, content.subarray(done), at + done)
  }
  disk.sync(file)
  disk.close(file)
}

/** Finds the last block: it vouches for all before it, and no block vouches for it. */
function lastBlock(disk: SimulatedDisk): { readonly path: string; readonly at: number } {
  for (const number of listJournalFiles(disk, 0).toReversed()) {
    const path = journalPath(0, number)
    const bytes = disk.content(path)
    const { salt } = decodeJournalHeader(bytes) as JournalHeader
    for (let at = bytes.length - PAGE_BYTES; at > 0; at -= PAGE_BYTES) {
      if (decodeBlockHeader(bytes, at)?.salt === salt) return { path, at }
    }
  }
  throw new Error('the journal has no block')
}

/** Starts again; returns undefined if the directory or the shard is refused. */
function reopen(run: Run): SimulatedShard | undefined {
  const { random, disk, clock, engine, damaged } = run
  try {
    const shard = new SimulatedShard(disk, random, clock, engine, 0.3, undefined, STUB_SIGNER)
    if (shard.recovered.refused === null) return shard
    const isOfAll = damaged.some(path => path.startsWith(JOURNALS_PATH))
    assert.ok(isOfAll, `refused over a file of a stream: ${shard.recovered.refused}`)
    for (const log of shard.recovered.table.all()) checkRecords(run, log)
    return undefined
  } catch (error) {
    if (error instanceof JournalDamage || error instanceof StoreError) return undefined
    throw error
  }
}

/** Returns whether something is named as lost. */
function check(run: Run, shard: SimulatedShard): boolean {
  const { truths, damaged } = run
  const { table } = shard.recovered
  const names = [...table.all()].map(({ name }) => name)
  assert.equal(new Set(names), new Set(truths.keys()), 'all streams are there, and no others')
  let isNamed = false
  for (const [name, truth] of truths) {
    const log = table.durable(name) as StreamLog
    assert.is(log.id, truth.id, `${name}: it is the same stream`)
    assert.is(log.durableState === 'closed', truth.isClosed, `${name}: closed or not`)
    const end = truth.firstOffset + truth.bodies.length
    assert.is(log.durableNextOffset, end, `${name}: its end`)
    const first = log.durableFirstOffset
    if (name === RETAINED) assert.ok(first >= truth.firstOffset, `${name}: its start`)
    else assert.is(first, truth.firstOffset, `${name}: its start`)
    const { lost } = checkRecords(run, log)
    const isOwn = damaged.some(path => path.startsWith(`${streamPath(name, truth.id)}/`))
    if (!isOwn) assert.equal(lost, [], `${name}: nothing is lost, for its files are whole`)
    isNamed ||= lost.length > 0
  }
  return isNamed
}

/** Checks that every served record is the original one. */
function checkRecords({ disk, truths }: Run, log: StreamLog): Found {
  const found = readAll(disk, log)
  const truth = truths.get(log.name)
  if (truth === undefined || truth.id !== log.id) return found
  for (const [offset, body] of found.bodies) {
    if (offset < truth.firstOffset) continue // a trim that a refused journal holds
    assert.is(body, truth.bodies[offset - truth.firstOffset], `${log.name}: record ${offset}`)
  }
  return found
}

/** Appends to every stream and to a new one, and adds the answers to what is known. */
function append({ truths, damaged }: Run, shard: SimulatedShard): void {
  for (const name of [...truths.keys(), NEWCOMER]) {
    const truth = truths.get(name)
    if (truth?.isClosed === true) continue
    const body = `${name} after the damage ${truth?.bodies.length}`
    shard.append(
      name,
      [body],
      result => {
        const isOwn = truth !== undefined && damaged.some(path => isOf(path, name, truth))
        if ('error' in result) return assert.ok(isOwn, `${name}: ${result.error.detail}`)
        const log = shard.recovered.table.assigned(name) as StreamLog
        if (truth !== undefined) truth.bodies.push(body)
        else truths.set(name, { id: log.id, firstOffset: 0, bodies: [body], isClosed: false })
      },
      { durability: 'immediate' },
    )
  }
  shard.settle()
  assert.not(shard.hasFailed, 'the shard goes on')
}

function isOf(path: string, name: string, { id }: Truth): boolean {
  return path.startsWith(`${streamPath(name, id)}/`)
}

/** Reads all records of a stream and skips what cannot be read. */
function readAll(disk: SimulatedDisk, log: StreamLog): Found {
  const bodies = new Map<number, string>()
  const lost: [number, number][] = []
  const end = log.durableNextOffset
  let limit = end
  for (let from = log.durableFirstOffset; from < end; ) {
    try {
      for (const [offset, body] of readPage(disk, log, from, limit)) bodies.set(offset, body)
      from = Math.max(from, ...[...bodies.keys()].map(offset => offset + 1))
      limit = end
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'corrupt_record') throw error
      const first = Number(error.fields['firstCorruptOffset'])
      const next = Number(error.fields['nextReadableOffset'])
      // The range is empty where a checkpoint alone is lost.
      assert.ok(from <= first && first <= next && next <= end, `${log.name}: ${error.message}`)
      if (first > from && limit > first - from) limit = first - from
      else {
        assert.ok(next > from, `${log.name}: a reader gets beyond it: ${error.message}`)
        lost.push([from, next])
        from = next
        limit = end
      }
    }
  }
  return { bodies, lost }
}

function readPage(
  disk: SimulatedDisk,
  log: StreamLog,
  from: number,
  limit: number,
): readonly (readonly [number, string])[] {
  const range = { from, direction: 'forward', limit, maxBytes: 1e9 } as const
  const plan = planRead(log, {
    ...range,
    since: undefined,
    wholeTail: true,
    fromCheckpoint: false,
  })
  const request = { ...range, verify: 'links', encoding: 'json' } as const
  return readStream(disk, plan, request).selection.records.map(({ bytes, record }) => [
    record.offset,
    bytes.utf8Slice(record.bodyAt, record.bodyEnd),
  ])
}
