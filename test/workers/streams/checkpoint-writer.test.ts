import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { manifestPath, streamPath } from '../../../src/shared/format/paths.ts'
import { Random } from '../../support/random.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock, SimulatedShard } from '../../support/simulated-shard.ts'

const checkpoint = suite('workers/streams/checkpoint-writer')

checkpoint('a stream has no directory before its first record is stored', () => {
  const { shard, disk } = open()
  append(shard, 'a', 1)
  assert.not.ok(disk.exists(streamPath('a')))
  shard.settle()
  assert.ok(disk.exists(manifestPath(streamPath('a'))))
})

checkpoint('a damaged manifest stops neither its stream nor its shard', () => {
  const { shard, disk } = open()
  append(shard, 'a', 1)
  shard.settle()
  disk.content(manifestPath(streamPath('a'))).fill(0x20, 3, 9)
  append(shard, 'a', 60) // rolls, so that the manifest is wanted
  append(shard, 'b', 1)
  shard.settle()
  assert.not.ok(shard.hasFailed)
  assert.is(shard.read('b').length, 1)
  assert.throws(() => shard.read('a'), /manifest is damaged/)
})

checkpoint('a deleted stream leaves no file, and its name is free at once', () => {
  const { shard, disk } = open()
  append(shard, 'a', 3)
  shard.settle()
  shard.remove('a', () => undefined)
  append(shard, 'a', 1)
  shard.settle()
  assert.is(shard.read('a').length, 1)
  shard.remove('a', () => undefined)
  shard.settle()
  assert.equal(
    disk.paths().filter(path => path.startsWith('streams/')),
    [],
  )
})

checkpoint('a checkpoint frees the journal files below it', () => {
  const { shard, disk } = open()
  append(shard, 'a', 400)
  shard.settle()
  const files = disk.paths().filter(path => path.endsWith('.wal'))
  assert.ok(files.length <= 2, files.join(' '))
})

function open() {
  const disk = new SimulatedDisk(new Random(1))
  return { disk, shard: new SimulatedShard(disk, new Random(2), new Clock()) }
}

/** Appends records and makes each durable, as a client that waits for every answer does. */
function append(shard: SimulatedShard, stream: string, count: number): void {
  for (let added = 0; added < count; added += 1) {
    shard.append(stream, [`${added}`.padEnd(400)], () => undefined)
    shard.advance()
    shard.flush()
    shard.advance()
  }
}

checkpoint.run()
