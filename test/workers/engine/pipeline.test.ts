import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Random } from '../../support/random.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock, SimulatedShard } from '../../support/simulated-shard.ts'

// The two stages of the journal: while a block is written, the next batch is encoded into the other
// slot.

const pipeline = suite('workers/engine/pipeline')

pipeline('while a block is written the next batch is encoded, and answered after it', () => {
  const { shard, disk, answered, append } = open()
  append('first')
  let encodedMeanwhile = 0
  disk.duringSync = () => {
    append('second')
    encodedMeanwhile = shard.encodeCounters.overlappedFrames
    assert.equal(answered, [], 'neither is durable yet')
  }
  shard.flush()
  shard.advance()
  assert.equal(answered, ['first'])
  assert.is(encodedMeanwhile, 1)
  shard.flush()
  shard.advance()
  assert.equal(answered, ['first', 'second'])
})

pipeline('what is encoded while nothing is written is not counted as overlapped', () => {
  const { shard, append } = open()
  append('first')
  const { encodedFrames, overlappedFrames } = shard.encodeCounters
  assert.equal([encodedFrames, overlappedFrames], [1, 0])
})

pipeline('with both slots busy the third batch waits, and none is lost or turned round', () => {
  const { shard, disk, answered, append } = open()
  append('first')
  disk.duringSync = () => {
    for (const name of ['second', 'third', 'fourth']) append(name, 5000)
  }
  shard.flush()
  shard.settle()
  assert.equal(answered, ['first', 'second', 'third', 'fourth'])
  assert.is(shard.read('s').length, 4)
})

/** Lets the engine run once, in the middle of a flush. */
class BusyDisk extends SimulatedDisk {
  duringSync: (() => void) | undefined

  override sync(file: number): void {
    const act = this.duringSync
    this.duringSync = undefined
    act?.()
    super.sync(file)
  }
}

function open() {
  const disk = new BusyDisk(new Random(1))
  const shard = new SimulatedShard(disk, new Random(1), new Clock())
  shard.settle()
  const answered: string[] = []
  const append = (name: string, bytes = 100) =>
    shard.append('s', [name.padEnd(bytes)], () => answered.push(name))
  return { shard, disk, answered, append }
}

pipeline.run()
