import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Random } from '../../support/random.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock, SimulatedShard } from '../../support/simulated-shard.ts'

const list = suite('workers/streams/checkpoint-list')

const ALL = Number.MAX_SAFE_INTEGER

list('those in segments and those in memory are one list, ascending', () => {
  const shard = open()
  request(shard, 3)
  shard.settle()
  request(shard, 2)
  assert.equal(offsets(shard, 0, ALL), [1, 2, 3, 4, 5])
})

list('a page starts at its offset and names the next one', () => {
  const shard = open()
  request(shard, 5)
  shard.settle()
  const { checkpoints, next } = shard.checkpoints('s', 2, 2)
  assert.equal([checkpoints.map(({ offset }) => offset), next], [[2, 3], 4])
  assert.equal(offsets(shard, 4, 2), [4, 5])
  assert.equal([offsets(shard, 6, 2), shard.checkpoints('s', 4, 2).next], [[], null])
})

list('one that ends a segment and one that begins the next are of one page', () => {
  const shard = open()
  append(shard, 30)
  shard.settle()
  trimAll(shard)
  shard.settle()
  checkpoint(shard)
  shard.settle()
  append(shard, 30)
  shard.settle()
  const paged = pages(shard, 1)
  assert.equal(paged, offsets(shard, 0, ALL))
  assert.ok(paged.includes(30) && paged.length > 1, paged.join())
})

list('a stream that is trimmed to its end has none, and is no damage', () => {
  const shard = open()
  append(shard, 30)
  shard.settle()
  trimAll(shard)
  shard.settle()
  assert.equal(shard.segmentNumbers('s'), [])
  assert.equal(offsets(shard, 0, ALL), [])
  assert.equal(offsets(shard, 30, ALL), [])
})

function open(): SimulatedShard {
  return new SimulatedShard(new SimulatedDisk(new Random(1)), new Random(2), new Clock())
}

/** A record, then a checkpoint, so many times. */
function request(shard: SimulatedShard, count: number): void {
  for (let done = 0; done < count; done += 1) {
    append(shard, 1)
    checkpoint(shard)
  }
}

function checkpoint(shard: SimulatedShard): void {
  shard.mutate({ kind: 'checkpoint', stream: 's' }, Buffer.alloc(0), () => undefined)
  makeDurable(shard)
}

function trimAll(shard: SimulatedShard): void {
  const before = shard.recovered.table.assigned('s')?.nextOffset ?? 0
  shard.mutate({ kind: 'trim', stream: 's', before }, Buffer.alloc(0), () => undefined)
  makeDurable(shard)
}

function append(shard: SimulatedShard, count: number): void {
  for (let done = 0; done < count; done += 1) {
    shard.append('s', [`${done}`.padEnd(400)], () => undefined)
    makeDurable(shard)
  }
}

function makeDurable(shard: SimulatedShard): void {
  shard.advance()
  shard.flush()
  shard.advance()
}

function offsets(shard: SimulatedShard, from: number, limit: number): number[] {
  return shard.checkpoints('s', from, limit).checkpoints.map(({ offset }) => offset)
}

/** All of them, page by page. */
function pages(shard: SimulatedShard, limit: number): number[] {
  const found: number[] = []
  for (let from: number | null = 0; from !== null; ) {
    found.push(...offsets(shard, from, limit))
    from = shard.checkpoints('s', from, limit).next
  }
  return found
}

list.run()
