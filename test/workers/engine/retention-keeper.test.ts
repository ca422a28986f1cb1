import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { manifestPath } from '../../../src/shared/format/paths.ts'
import { STREAM_CONFIG_DEFAULT } from '../../../src/shared/limits.ts'
import type { Retention } from '../../../src/shared/protocol/streams.ts'
import { DiskError } from '../../../src/workers/disk/disk.ts'
import { Random } from '../../support/random.ts'
import { directoryOf } from '../../support/stream-directory.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock, SimulatedShard } from '../../support/simulated-shard.ts'

const keeper = suite('workers/engine/retention-keeper')

keeper('records go once they are too old, and their space is free', () => {
  const { shard, disk, clock } = open({ maxAgeSeconds: 80 })
  append(shard, 300)
  shard.settle()
  clock.pass(40_000)
  append(shard, 300)
  shard.settle()
  const used = bytesOf(disk)
  clock.pass(50_000)
  shard.settle()
  const { firstOffset, bodies } = shard.show('s')
  assert.equal([firstOffset, bodies.length], [300, 300])
  assert.ok(bytesOf(disk) < 0.6 * used, `${bytesOf(disk)} of ${used}`)
  assert.ok(shard.segmentNumbers('s').length > 0)
})

keeper('an idle stream is let go to its end, and a closed one too', () => {
  const { shard, clock } = open({ maxAgeSeconds: 10 })
  append(shard, 20)
  shard.mutate({ kind: 'close', stream: 's' }, Buffer.alloc(0), () => undefined)
  shard.settle()
  clock.pass(11_000)
  shard.settle()
  assert.equal([shard.show('s').firstOffset, shard.segmentNumbers('s')], [20, []])
})

keeper('a system clock that jumps forward trims nothing, after a restart neither', () => {
  const { shard, clock, reopen } = open({ maxAgeSeconds: 80 })
  append(shard, 300)
  shard.settle()
  clock.jump(365 * 86_400_000)
  clock.pass(10_000)
  shard.settle()
  assert.is(shard.show('s').firstOffset, 0)
  shard.stop()
  const again = reopen()
  again.settle()
  assert.is(again.show('s').firstOffset, 0)
  clock.pass(100_000)
  again.settle()
  assert.is(again.show('s').firstOffset, 300) // once they are as old in running time
})

keeper('a system clock that was put back trims no record that is new', () => {
  const { shard, clock } = open({ maxAgeSeconds: 80 })
  shard.settle()
  clock.jump(-600_000)
  append(shard, 20)
  clock.pass(10_000)
  shard.settle()
  assert.is(shard.show('s').bodies.length, 20)
})

keeper('a count of records keeps at least as many', () => {
  const { shard } = open({ maxRecords: 250 })
  append(shard, 1000)
  shard.settle()
  const { length } = shard.show('s').bodies
  assert.ok(length >= 250 && length < 400, `${length} are kept`)
})

keeper('a size keeps at least as much, and holds over a restart', () => {
  const { shard, reopen } = open({ maxBytes: 100_000 })
  append(shard, 1500)
  shard.settle()
  shard.stop()
  const again = reopen()
  append(again, 100)
  again.settle()
  const bytes = again.recovered.table.durable('s')?.durableBytes ?? 0
  assert.ok(bytes >= 100_000 && bytes < 250_000, `${bytes} bytes are kept`)
})

keeper('retention that is configured later lets go of what is there', () => {
  const { shard } = open({})
  append(shard, 300)
  shard.settle()
  assert.is(shard.show('s').firstOffset, 0)
  configure(shard, { maxRecords: 50 })
  shard.settle()
  assert.ok(shard.show('s').firstOffset > 200)
})

keeper('without retention any more nothing goes', () => {
  const { shard } = open({ maxRecords: 50 })
  configure(shard, {})
  append(shard, 300)
  shard.settle()
  assert.is(shard.show('s').firstOffset, 0)
})

keeper('a damaged manifest is said once, built again, and its stream trimmed then', () => {
  const { shard, disk, clock } = open({})
  append(shard, 300)
  shard.settle()
  disk.content(manifestPath(directoryOf(disk, 's'))).fill(0x20, 3, 9)
  configure(shard, { maxRecords: 50 })
  for (let pass = 0; pass < 5; pass += 1) {
    shard.settle()
    append(shard, 1)
    clock.pass(2000)
  }
  const said = shard.logged.filter(({ message }) => message.includes('leaves its stream alone'))
  assert.ok(said.length <= 1)
  assert.ok(shard.show('s').firstOffset > 200)
})

keeper('a manifest that cannot be read stops neither retention nor its shard', () => {
  const { shard, disk, clock } = open({})
  append(shard, 300)
  shard.settle()
  const path = manifestPath(directoryOf(disk, 's'))
  disk.open = (name, mode) => {
    if (name === path) throw new DiskError('EIO', 'open', name)
    return SimulatedDisk.prototype.open.call(disk, name, mode)
  }
  configure(shard, { maxRecords: 50 })
  for (let pass = 0; pass < 3; pass += 1) {
    shard.settle()
    clock.pass(2000)
  }
  assert.not.ok(shard.hasFailed)
  assert.is(shard.stats().checkpoints > 1, true)
})

keeper('what went is counted and said', () => {
  const { shard } = open({ maxRecords: 50 })
  append(shard, 300)
  shard.settle()
  const { firstOffset } = shard.show('s')
  const { retentionRecords, trimmedRecords, retentionBytes, removedSegments } = shard.stats()
  assert.equal([retentionRecords, trimmedRecords], [firstOffset, 0])
  assert.ok(retentionBytes > 50 * firstOffset && removedSegments > 0)
  assert.ok(shard.logged.some(({ message }) => message === 'retention trimmed records'))
})

function open(retention: Retention) {
  const random = new Random(1)
  const disk = new SimulatedDisk(random)
  const clock = new Clock()
  const reopen = () => new SimulatedShard(disk, random, clock)
  const shard = reopen()
  const config = { ...STREAM_CONFIG_DEFAULT, maxSegmentBytes: 8192, retention }
  shard.mutate({ kind: 'create', stream: 's', config }, Buffer.alloc(0), () => undefined)
  return { disk, clock, shard, reopen }
}

function configure(shard: SimulatedShard, retention: Retention): void {
  const mutation = { kind: 'configure', stream: 's', change: { retention } } as const
  shard.mutate(mutation, Buffer.alloc(0), () => undefined)
}

function append(shard: SimulatedShard, count: number): void {
  for (let added = 0; added < count; added += 10) {
    const bodies = Array.from({ length: 10 }, (_, at) => `${added + at}`.padEnd(100))
    shard.append('s', bodies, () => undefined)
    shard.advance()
    shard.flush()
    shard.advance()
    shard.runJob()
  }
}

/** Of everything but journals. */
function bytesOf(disk: SimulatedDisk): number {
  const paths = disk.paths().filter(path => path.startsWith('streams/'))
  return paths.reduce((sum, path) => sum + disk.content(path).length, 0)
}

keeper.run()
