import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { planRead } from '../../../src/workers/engine/read-planner.ts'
import { Random } from '../../support/random.ts'
import { Clock } from '../../support/simulated-clock.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'
import { SimulatedShard } from '../../support/simulated-shard.ts'

const FROM_START = {
  from: 'start',
  direction: 'forward',
  limit: 100,
  maxBytes: 1e6,
  since: undefined,
  wholeTail: false,
  fromCheckpoint: false,
} as const

const appended = suite('workers/engine/appended')

appended('times in a stream do not go back when the clock does', () => {
  const { shard, clock } = open()
  shard.append('orders', ['first'], () => undefined)
  const first = shard.recovered.table.assigned('orders')?.lastTimestamp ?? 0
  clock.jump(-60_000)
  shard.append('orders', ['second'], () => undefined)
  const second = shard.recovered.table.assigned('orders')?.lastTimestamp ?? 0
  assert.ok(first > 0 && second >= first, `${second} after ${first}`)
})

appended('a read ends at the last durable record, whatever else is in the log buffer', () => {
  const { shard } = open()
  shard.append('orders', ['durable'], () => undefined)
  shard.settle()
  shard.append('orders', ['on its way'], () => undefined)
  const log = shard.recovered.table.assigned('orders')
  assert.is(log?.nextOffset, 2)
  const { nextOffset, high } = planRead(log, FROM_START)
  assert.equal([nextOffset, high], [1, 1])
})

function open() {
  const random = new Random(1)
  const clock = new Clock()
  return { shard: new SimulatedShard(new SimulatedDisk(random), random, clock), clock }
}

appended.run()
