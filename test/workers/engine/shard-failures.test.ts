import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Mutation, MutationResult } from '../../../src/shared/protocol/shard.ts'
import { CHAIN_PREFIX_BYTES } from '../../../src/shared/format/chain.ts'
import { DiskError, type FileMode } from '../../../src/workers/disk/disk.ts'
import { Random } from '../../support/random.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'
import {
  Clock,
  encodeTexts,
  SIMULATED_OPTIONS,
  SimulatedShard,
} from '../../support/simulated-shard.ts'

const STALL_MS = 1000

const failures = suite('workers/engine/shard-failures')

failures('a pause of the whole process fails no shard, whatever it interrupted', () => {
  const { shard, clock } = open()
  append(shard, 'under way')
  clock.pass(100 * STALL_MS)
  shard.advance()
  assert.not.ok(shard.hasFailed)
  shard.settle()
  assert.equal(shard.read('s'), ['under way'])
})

failures('a flusher that stalls fails its shard, and nothing becomes durable afterwards', () => {
  const { shard, disk, clock } = open()
  append(shard, 'kept')
  shard.settle()
  const results = append(shard, 'stalled')
  for (let turn = 0; turn < 5; turn += 1) {
    clock.pass(STALL_MS / 4)
    shard.advance()
  }
  assert.ok(shard.hasFailed)
  const { operations } = disk
  assert.equal([shard.flush(), disk.operations - operations], ['failed', 0])
  shard.advance()
  assert.equal([results, shard.read('s')], [[], ['kept']])
})

failures('a follower of a shard that has failed is refused, for nothing can come any more', () => {
  const { shard, clock } = open()
  append(shard, 'stalled')
  for (let turn = 0; turn < 5; turn += 1) {
    clock.pass(STALL_MS / 4)
    shard.advance()
  }
  assert.throws(() => shard.watch('s'), /shard stopped after a failure/)
})

failures('a block whose sync ends after the shard has failed is not published', () => {
  const { shard, disk, clock } = open()
  append(shard, 'kept')
  shard.settle()
  const results = append(shard, 'late')
  disk.onSync = () => {
    for (let turn = 0; turn < 5; turn += 1) {
      clock.pass(STALL_MS / 4)
      shard.advance()
    }
  }
  assert.is(shard.flush(), 'failed')
  shard.advance()
  assert.equal([shard.hasFailed, results, shard.read('s')], [true, [], ['kept']])
})

failures('a write-back that cannot open a file is tried again, and appends go on', () => {
  const { shard, disk, clock } = open()
  disk.refused = 'EIO'
  append(shard, 'one')
  for (let turn = 0; turn < 3; turn += 1) turnOf(shard, clock)
  append(shard, 'two')
  for (let turn = 0; turn < 3; turn += 1) turnOf(shard, clock)
  assert.equal([shard.hasFailed, shard.stats().checkpoints], [false, 0])
  const reasons = shard.logged.filter(({ level }) => level === 'error')
  assert.is(reasons.length, 1) // said once, however often it is tried
  disk.refused = undefined
  for (let turn = 0; turn < 3; turn += 1) turnOf(shard, clock)
  assert.ok(shard.stats().checkpoints > 0)
  assert.equal(shard.read('s'), ['one', 'two'])
})

failures('a write-back that fails takes the journal no room that it has', () => {
  const { shard, disk, clock } = open()
  disk.refused = 'EIO'
  disk.refusedIn = 'journals/shard-00/catalogue'
  const results: MutationResult[] = []
  // Four journal files, and less than the journal may have.
  const sent = Array.from({ length: 28 }, (_, number) => `${number} `.padEnd(4000, 'x'))
  for (const [at, body] of sent.entries()) {
    results.push(...append(shard, body))
    turnOf(shard, clock, at === 0 ? 1100 : 20)
  }
  for (let turn = 0; turn < 3; turn += 1) turnOf(shard, clock, 20)
  assert.not.ok(results.some(result => 'error' in result))
  assert.equal([shard.hasFailed, shard.stats().checkpoints], [false, 0])
  disk.refused = undefined
  clock.pass(1000)
  shard.settle()
  assert.ok(shard.stats().checkpoints > 0)
  assert.ok(sent.every((body, at) => shard.read('s')[at] === body))
})

failures('a journal file that is full to its last page keeps nobody busy', () => {
  const { shard, disk, clock } = open()
  disk.refused = 'EIO'
  for (let turn = 0; turn < 20; turn += 1) {
    append(shard, 'x'.repeat(4000))
    turnOf(shard, clock, 1)
    for (let idle = 0; idle < 3; idle += 1) turnOf(shard, clock, 60)
    assert.ok(shard.quietMs > 0, `${shard.quietMs} ms after ${turn} appends`)
  }
})

failures('a write-back that is being tried again keeps nobody busy meanwhile', () => {
  const { shard, disk, clock } = open()
  append(shard, 'one')
  while (shard.flush() === 'flushed') shard.advance()
  clock.pass(1100)
  shard.advance()
  disk.refused = 'EIO'
  while (shard.logged.length === 0) shard.runJob()
  clock.pass(1000)
  shard.advance() // sends it again
  clock.pass(10)
  shard.advance()
  assert.ok(shard.quietMs > 0, `${shard.quietMs} ms`)
})

failures(
  'a journal without room is named while the write-back fails, and appends do not hang',
  () => {
    const { shard, disk, clock } = open()
    disk.refused = 'EIO'
    const results: MutationResult[] = []
    for (let turn = 0; turn < 80; turn += 1) {
      results.push(...append(shard, 'x'.repeat(4000)))
      turnOf(shard, clock)
    }
    const last = results.at(-1)
    assert.ok(last !== undefined && 'error' in last)
    assert.equal([last.error.code, last.error.fields['outcome']], ['shard_failed', 'not_applied'])
    disk.refused = undefined
    shard.settle()
    const [again] = append(shard, 'again')
    shard.settle()
    assert.equal([again, shard.read('s').at(-1)], [undefined, 'again'])
  },
)

failures('the end of a transaction that waits for a journal file leaves no append waiting', () => {
  const { shard, disk, clock } = open()
  const prepared = [1, 2].map(transaction => prepare(shard, transaction, `t${transaction}`))
  shard.settle()
  assert.ok(prepared.every(results => results.some(result => !('error' in result))))
  disk.refused = 'EIO'
  for (let turn = 0; turn < 80; turn += 1) {
    append(shard, 'x'.repeat(4000))
    turnOf(shard, clock)
  }
  const resolved = mutate(shard, {
    kind: 'resolve',
    transaction: 1,
    outcome: 'abort',
    witnesses: [],
  })
  const decided = mutate(shard, { kind: 'decide', transaction: 2, witnesses: [] })
  const held = append(shard, 'held', 't1')
  const appended = append(shard, 'behind')
  turnOf(shard, clock)
  for (const [result] of [held, appended, decided]) {
    assert.ok(result !== undefined && 'error' in result)
    assert.is(result.error.fields['outcome'], 'not_applied')
  }
  assert.equal(resolved, []) // an abort that is decided cannot be refused
  disk.refused = undefined
  for (let turn = 0; turn < 4; turn += 1) turnOf(shard, clock)
  assert.ok(resolved.some(result => !('error' in result)))
})

failures('one moment without descriptors refuses appends for that moment only', () => {
  const { shard, disk, clock } = open()
  for (let count = 0; count < 60; count += 1) append(shard, `${count}`.padEnd(400))
  shard.settle()
  const change = { retention: { maxRecords: 10 } }
  shard.mutate({ kind: 'configure', stream: 's', change }, Buffer.alloc(0), () => undefined)
  while (shard.flush() === 'flushed') shard.advance()
  disk.refused = 'EMFILE'
  clock.pass(1100)
  shard.advance()
  while (shard.logged.length === 0) shard.runJob() // retention looks at the manifest
  disk.refused = undefined
  const results = append(shard, 'more')
  shard.settle()
  assert.equal([results.some(result => 'error' in result), shard.read('s').at(-1)], [false, 'more'])
})

/** Refuses to open whatever is not the journal; and tells of a sync while it is under way. */
class TroubledDisk extends SimulatedDisk {
  refused: 'EIO' | 'EMFILE' | undefined
  refusedIn = ''
  onSync: (() => void) | undefined

  override open(path: string, mode: FileMode): number {
    const isRefused = this.refused !== undefined && path.startsWith(this.refusedIn)
    if (isRefused && !path.endsWith('.wal')) throw new DiskError(this.refused ?? '', 'open', path)
    return super.open(path, mode)
  }

  override sync(file: number): void {
    super.sync(file)
    const { onSync } = this
    this.onSync = undefined
    onSync?.()
  }
}

function open() {
  const random = new Random(1)
  const disk = new TroubledDisk(random)
  const clock = new Clock()
  const options = { ...SIMULATED_OPTIONS, stallMs: STALL_MS }
  return { disk, clock, shard: new SimulatedShard(disk, random, clock, options) }
}

function turnOf(shard: SimulatedShard, clock: Clock, ms = 1100): void {
  clock.pass(ms)
  shard.advance()
  shard.flush()
  shard.advance()
  shard.runJob()
}

function append(shard: SimulatedShard, body: string, stream = 's'): MutationResult[] {
  const results: MutationResult[] = []
  shard.append(stream, [body], result => results.push(result))
  return results
}

/** Sends the part of a transaction that other shards have parts of, too. */
function prepare(shard: SimulatedShard, transaction: number, stream: string): MutationResult[] {
  const batch = encodeTexts([`part of ${stream}`])
  const place = { at: CHAIN_PREFIX_BYTES, length: batch.length, count: 1 }
  const append = { stream, ...place, expectedOffset: undefined }
  const bytes = Buffer.concat([Buffer.alloc(CHAIN_PREFIX_BYTES), batch])
  return mutate(shard, { kind: 'prepare', transaction, coordinator: 0, appends: [append] }, bytes)
}

function mutate(shard: SimulatedShard, mutation: Mutation, bytes = Buffer.alloc(0)) {
  const results: MutationResult[] = []
  shard.mutate(mutation, bytes, result => results.push(result))
  return results
}

failures.run()
