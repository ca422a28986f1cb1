import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Mutation } from '../../../src/shared/protocol/shard.ts'
import type { StreamInfo } from '../../../src/shared/protocol/streams.ts'
import { Random } from '../../support/random.ts'
import { directoryOf } from '../../support/stream-directory.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock, SimulatedShard } from '../../support/simulated-shard.ts'

const changes = suite('workers/engine/stream-changes')

changes('a trim hides the records below it once it is durable, and keeps the others', () => {
  const { shard } = open(10)
  const results = mutate(shard, { kind: 'trim', stream: 's', before: 4 })
  assert.is(shard.show('s').firstOffset, 0)
  shard.settle()
  assert.equal(results, [{ firstOffset: 4, nextOffset: 10 }])
  assert.equal(shard.show('s'), { firstOffset: 4, bodies: bodies(4, 10), isClosed: false })
})

changes('a trim frees the segments that lie below it whole', () => {
  const { shard } = open(60)
  const before = shard.segmentNumbers('s')
  const bytes = shard.recovered.table.durable('s')?.durableBytes ?? 0
  mutate(shard, { kind: 'trim', stream: 's', before: 40 })
  shard.settle()
  const after = shard.segmentNumbers('s')
  assert.ok(
    after.length < before.length && after.length > 1,
    `${before.join()} then ${after.join()}`,
  )
  assert.ok((shard.recovered.table.durable('s')?.durableBytes ?? 0) < bytes)
  assert.equal(shard.show('s').bodies, bodies(40, 60))
})

changes('a trim to the end frees all segments, and appends go on at the offset', () => {
  const { shard, reopen } = open(30)
  mutate(shard, { kind: 'trim', stream: 's', before: 30 })
  shard.settle()
  assert.equal(shard.segmentNumbers('s'), [])
  shard.stop()
  const again = reopen()
  assert.equal(again.show('s'), { firstOffset: 30, bodies: [], isClosed: false })
  append(again, 30, 31)
  again.settle()
  assert.equal(again.show('s'), { firstOffset: 30, bodies: bodies(30, 31), isClosed: false })
})

changes('a trim to where the stream begins changes nothing', () => {
  const { shard } = open(3)
  mutate(shard, { kind: 'trim', stream: 's', before: 2 })
  const results = mutate(shard, { kind: 'trim', stream: 's', before: 1 })
  shard.settle()
  assert.equal(results, [{ firstOffset: 2, nextOffset: 3 }])
})

changes('a trim above the end is refused with the end', () => {
  const { shard } = open(3)
  assert.equal(mutate(shard, { kind: 'trim', stream: 's', before: 4 }), ['beyond_end'])
  assert.equal(mutate(shard, { kind: 'trim', stream: 'none', before: 0 }), ['stream_not_found'])
})

changes('a trim for a stream does not reach another one of its name', () => {
  const { shard } = open(3)
  const streamId = shard.recovered.table.assigned('s')?.id as string
  mutate(shard, { kind: 'delete', stream: 's' })
  append(shard, 0, 3)
  const results = mutate(shard, { kind: 'trim', stream: 's', before: 2, streamId })
  shard.settle()
  assert.equal(results, ['stream_not_found'])
  assert.is(shard.show('s').firstOffset, 0)
})

changes('a closed stream is trimmed like any other', () => {
  const { shard } = open(30)
  mutate(shard, { kind: 'close', stream: 's' })
  mutate(shard, { kind: 'trim', stream: 's', before: 30 })
  shard.settle()
  assert.equal(shard.segmentNumbers('s'), [])
})

changes('a stream that is deleted after a trim and made again begins at 0', () => {
  const { shard, disk } = open(30)
  mutate(shard, { kind: 'trim', stream: 's', before: 30 })
  mutate(shard, { kind: 'delete', stream: 's' })
  append(shard, 0, 2)
  shard.settle()
  assert.equal(shard.show('s'), { firstOffset: 0, bodies: bodies(0, 2), isClosed: false })
  assert.equal(disk.list(directoryOf(disk, 's')).filter(name => name.endsWith('.log')).length, 1)
})

changes('a checkpoint after a trim vouches for where what is kept begins', () => {
  const { shard } = open(60)
  mutate(shard, { kind: 'trim', stream: 's', before: 60 })
  shard.settle()
  mutate(shard, { kind: 'checkpoint', stream: 's' })
  shard.settle()
  const [checkpoint] = shard.checkpoints('s', 60, 10).checkpoints
  assert.equal([checkpoint?.offset, checkpoint?.trimPoint.offset], [60, 60])
})

function open(count: number) {
  const random = new Random(1)
  const disk = new SimulatedDisk(random)
  const clock = new Clock()
  const reopen = () => new SimulatedShard(disk, random, clock)
  const shard = reopen()
  append(shard, 0, count)
  shard.settle()
  return { disk, shard, reopen }
}

function bodies(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, at) => `${from + at}`.padEnd(400))
}

/** Appends the records, and makes each durable. */
function append(shard: SimulatedShard, from: number, to: number): void {
  for (const body of bodies(from, to)) {
    shard.append('s', [body], () => undefined)
    shard.advance()
    shard.flush()
    shard.advance()
  }
}

/** The results as they come: where the stream then begins and ends, or the code of the refusal. */
function mutate(shard: SimulatedShard, mutation: Mutation): unknown[] {
  const results: unknown[] = []
  shard.mutate(mutation, Buffer.alloc(0), result => {
    if ('error' in result) return results.push(result.error.code)
    const { firstOffset, nextOffset } = (result.value as { info?: StreamInfo } | null)?.info ?? {}
    return results.push({ firstOffset, nextOffset })
  })
  return results
}

changes.run()
