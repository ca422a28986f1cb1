import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { MutationResult, ShardOptions } from '../../../src/shared/protocol/shard.ts'
import type { Durability } from '../../../src/shared/protocol/streams.ts'
import { Random } from '../../support/random.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock, SIMULATED_OPTIONS, SimulatedShard } from '../../support/simulated-shard.ts'

const durability = suite('workers/engine/durability')

durability('a group append waits for the flush delay, and goes out then', () => {
  const { shard, pass } = open({ flushDelayMs: 50 })
  const results = append(shard, 'group')
  pass(49)
  assert.equal([results.length, shard.read('s')], [0, []])
  pass(1)
  assert.equal([results.length, shard.read('s')], [1, ['group']])
})

durability('the operation bound ends the delay', () => {
  const { shard, pass } = open({ flushDelayMs: 3_600_000, flushOperationsMax: 3 })
  const results = ['a', 'b'].flatMap(body => [append(shard, body)])
  pass(1000)
  assert.equal(results.flat().length, 0)
  results.push(append(shard, 'c'))
  pass(0)
  assert.equal([results.flat().length, shard.read('s')], [3, ['a', 'b', 'c']])
})

durability('an immediate append does not wait, and takes what waits along', () => {
  const { shard, pass } = open({ flushDelayMs: 3_600_000, relaxedFlushMs: 3_600_000 })
  append(shard, 'relaxed', 'relaxed')
  const results = [append(shard, 'group'), append(shard, 'immediate', 'immediate')]
  pass(0)
  assert.equal(results.flat().length, 2)
  assert.equal(shard.read('s'), ['relaxed', 'group', 'immediate'])
})

durability('an immediate append is handed to the flusher behind a block that it writes', () => {
  const { shard } = open({ flushDelayMs: 0 })
  append(shard, 'first')
  append(shard, 'next', 'immediate') // the first block is sealed, and not flushed
  assert.equal([shard.flush(), shard.flush(), shard.flush()], ['flushed', 'flushed', 'idle'])
})

durability('a relaxed append is answered at once, says so, and is durable a while later', () => {
  const { shard, disk, random, clock, pass } = open({ relaxedFlushMs: 200 })
  const [result] = append(shard, 'relaxed', 'relaxed')
  assert.ok(result !== undefined && 'relaxed' in result && result.relaxed)
  assert.equal(shard.read('s'), [])
  pass(199)
  assert.equal(shard.read('s'), [])
  pass(1)
  assert.equal(shard.read('s'), ['relaxed'])
  disk.cutPower()
  assert.equal(new SimulatedShard(disk, random, clock).read('s'), ['relaxed'])
})

durability('a barrier is answered when every relaxed append before it is durable', () => {
  const { shard, disk, random, clock, pass } = open({ relaxedFlushMs: 3_600_000 })
  for (const body of ['a', 'b', 'c']) append(shard, body, 'relaxed')
  const results: MutationResult[] = []
  shard.mutate({ kind: 'barrier' }, Buffer.alloc(0), result => results.push(result))
  assert.is(results.length, 0)
  pass(0)
  assert.is(results.length, 1)
  disk.cutPower()
  assert.equal(new SimulatedShard(disk, random, clock).read('s'), ['a', 'b', 'c'])
})

durability('a stream is as durable as it is configured, and an append as it asks', () => {
  const { shard, pass } = open({ flushDelayMs: 3_600_000, relaxedFlushMs: 3_600_000 })
  const config = { ...SIMULATED_OPTIONS.defaultConfig, durability: 'relaxed' } as const
  shard.mutate({ kind: 'create', stream: 's', config }, Buffer.alloc(0), () => undefined)
  const [configured] = append(shard, 'configured')
  const asked = append(shard, 'asked', 'immediate')
  assert.ok(configured !== undefined && 'relaxed' in configured && configured.relaxed)
  assert.is(asked.length, 0)
  pass(0)
  assert.equal([asked.length, shard.read('s')], [1, ['configured', 'asked']])
})

function open(changes: Partial<ShardOptions>) {
  const random = new Random(1)
  const disk = new SimulatedDisk(random)
  const clock = new Clock()
  const options = { ...SIMULATED_OPTIONS, checkpointIntervalMs: 1e9, ...changes }
  const shard = new SimulatedShard(disk, random, clock, options)
  /** Time passes, and everything that is handed to the flusher is flushed. */
  const pass = (ms: number) => {
    clock.pass(ms)
    shard.advance()
    while (shard.flush() === 'flushed') shard.advance()
  }
  pass(0) // the block that opens the epoch
  return { shard, disk, random, clock, pass }
}

function append(shard: SimulatedShard, body: string, as?: Durability): MutationResult[] {
  const results: MutationResult[] = []
  shard.append('s', [body], result => results.push(result), { durability: as })
  return results
}

durability.run()
