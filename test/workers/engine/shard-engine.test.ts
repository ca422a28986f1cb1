import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { MutationResult, ShardOptions } from '../../../src/shared/protocol/shard.ts'
import { Random } from '../../support/random.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock, SIMULATED_OPTIONS, SimulatedShard } from '../../support/simulated-shard.ts'

const engine = suite('workers/engine/shard-engine')

engine('an append is answered, and shown, only after the sync of its block', () => {
  const { shard } = open()
  const results = append(shard, 's', ['one'])
  assert.equal([results.length, shard.read('s')], [0, []])
  shard.settle()
  assert.is(results.length, 1)
  assert.equal(shard.read('s'), ['one'])
})

engine('a stream can be followed as soon as the append that made it is durable', () => {
  const { shard } = open()
  shard.settle()
  append(shard, 's', ['one'])
  // The front end answers it now, from shared memory, before the engine has heard of the flush.
  assert.is(shard.flush(), 'flushed')
  shard.watch('s')
})

engine('appends that come during a flush go out with the next block', () => {
  const { shard, disk } = open()
  shard.settle()
  append(shard, 's', ['0'])
  const before = disk.syncs
  const results = [1, 2, 3, 4].flatMap(count => append(shard, 's', [`${count}`]))
  shard.flush()
  shard.advance()
  shard.flush()
  shard.advance()
  assert.is(disk.syncs - before, 2)
  assert.is(results.length, 0)
  assert.equal(shard.read('s'), ['0', '1', '2', '3', '4'])
})

engine('an expected offset that does not hold appends nothing', () => {
  const { shard } = open()
  append(shard, 's', ['one'])
  const refusals = append(shard, 's', ['two'], 5)
  shard.settle()
  const [refused] = refusals
  assert.ok(refused !== undefined && 'error' in refused)
  assert.equal([refused.error.code, refused.error.fields['nextOffset']], ['offset_mismatch', 1])
  assert.is(refused.error.fields['outcome'], 'not_applied')
  assert.equal(shard.read('s'), ['one'])
})

engine('a batch larger than a slot goes through, in order', () => {
  const { shard } = open()
  const large = 'x'.repeat(5 * SIMULATED_OPTIONS.slotBytes)
  for (const body of ['before', large, 'after']) append(shard, 's', [body])
  shard.settle()
  assert.equal(shard.read('s'), ['before', large, 'after'])
})

engine('a journal checkpoint puts records into segments that roll, and frees the tail', () => {
  const { shard, disk } = open()
  for (let count = 0; count < 100; count += 1) append(shard, 's', [`${count}`.padEnd(500)])
  shard.settle()
  assert.is(shard.recovered.table.durable('s')?.tail, undefined)
  assert.ok(disk.paths().filter(path => path.endsWith('.log')).length > 3)
  assert.is(shard.read('s').length, 100)
})

engine('a clean stop leaves nothing to replay', () => {
  const { shard, disk, random, clock } = open()
  append(shard, 's', ['one'])
  shard.stop()
  const { report } = new SimulatedShard(disk, random, clock).recovered
  assert.equal([report?.frames, report?.cutBytes], [0, 0])
})

engine('after a failed sync nothing is answered as durable, and no sync is tried again', () => {
  const { shard, disk } = open()
  append(shard, 's', ['kept'])
  shard.settle()
  disk.failFrom('sync', 'EIO')
  const results = append(shard, 's', ['lost'])
  shard.settle()
  const syncs = disk.syncs
  const [refused] = append(shard, 's', ['more'])
  shard.settle()
  assert.equal([results.length, disk.syncs - syncs, shard.hasFailed], [0, 0, true])
  assert.ok(refused !== undefined && 'error' in refused && refused.error.code === 'shard_failed')
  assert.equal(shard.read('s'), ['kept'])
})

engine('a checkpoint without space refuses appends, reads go on, and it is tried again', () => {
  const { shard, disk, clock } = open()
  append(shard, 's', ['kept'])
  shard.settle()
  disk.free = 0
  append(shard, 't', ['needs a segment'])
  for (let turn = 0; turn < 5; turn += 1) turnOf(shard, clock)
  const [refused] = append(shard, 's', ['more'])
  assert.ok(refused !== undefined && 'error' in refused && refused.error.code === 'disk_full')
  assert.equal(shard.read('t'), ['needs a segment'])
  disk.free = Number.POSITIVE_INFINITY
  for (let turn = 0; turn < 5; turn += 1) turnOf(shard, clock)
  append(shard, 's', ['again'])
  shard.settle()
  assert.equal(shard.read('s'), ['kept', 'again'])
})

engine('a system clock that jumps forward forgets no producer', () => {
  const { shard, clock } = open()
  const producer = { id: 'p', epoch: 1, seq: 0 }
  shard.append('s', ['once'], () => undefined, { producer })
  shard.settle()
  clock.jump(365 * 86_400_000)
  const results: MutationResult[] = []
  shard.append('s', ['once'], result => results.push(result), { producer })
  shard.settle()
  assert.equal([results.length, shard.read('s')], [1, ['once']])
})

engine('a system clock that was put back forgets no producer that is new', () => {
  const { shard, clock } = open({ producerExpirySeconds: 60 })
  shard.settle()
  clock.jump(-600_000)
  const producer = { id: 'p', epoch: 1, seq: 0 }
  const results: MutationResult[] = []
  for (let tries = 0; tries < 2; tries += 1) {
    shard.append('s', ['once'], result => results.push(result), { producer })
    shard.settle()
  }
  assert.equal([results.length, shard.read('s')], [2, ['once']])
})

engine('an idle shard commits its clock, so that a start knows how long it was down', () => {
  const { shard, disk, random, clock } = open()
  append(shard, 's', ['one'])
  shard.settle()
  const before = shard.stats().checkpoints
  clock.pass(7 * 3_600_000)
  shard.settle()
  assert.is(shard.stats().checkpoints, before + 1)
  shard.stop()
  const again = new SimulatedShard(disk, random, clock)
  assert.ok(again.recovered.checkpoint.clockMicros >= 7 * 3_600_000_000)
  assert.equal(again.read('s'), ['one'])
})

function turnOf(shard: SimulatedShard, clock: Clock): void {
  clock.pass(1100)
  shard.advance()
  shard.flush()
  shard.runJob()
}

function open(changes: Partial<ShardOptions> = {}) {
  const random = new Random(1)
  const disk = new SimulatedDisk(random)
  const clock = new Clock()
  const options = { ...SIMULATED_OPTIONS, ...changes }
  return { random, disk, clock, shard: new SimulatedShard(disk, random, clock, options) }
}

/** Appends; the results come into the array as they are settled. */
function append(
  shard: SimulatedShard,
  stream: string,
  bodies: readonly string[],
  expectedOffset?: number,
): MutationResult[] {
  const results: MutationResult[] = []
  shard.append(stream, bodies, result => results.push(result), { expectedOffset })
  return results
}

engine.run()
