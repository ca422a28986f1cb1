import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Random } from '../support/random.ts'
import { Crash, SimulatedDisk } from '../support/simulated-disk.ts'
import { Clock, SimulatedShard } from '../support/simulated-shard.ts'

const SEEDS = 60

const cache = suite('integrity/page-cache')

cache('what a start found in the page cache alone survives a power failure after it', () => {
  let found = 0
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const random = new Random(seed)
    const disk = new SimulatedDisk(random)
    const clock = new Clock()
    const shard = new SimulatedShard(disk, random, clock)
    while (shard.flush() === 'flushed') shard.advance()
    shard.append('a', ['one'], () => undefined)
    shard.advance()
    disk.crashAt = disk.operations + 1 // the write has ended, its sync has not
    assert.throws(
      () => shard.flush(),
      (error: unknown) => error instanceof Crash,
    )
    disk.kill()
    const bodies = new SimulatedShard(disk, random, clock).read('a')
    found += bodies.length
    disk.cutPower()
    assert.equal(new SimulatedShard(disk, random, clock).read('a'), bodies, `seed ${seed}`)
  }
  assert.ok(found > SEEDS / 2, `${found} records were in the page cache`)
})

cache.run()
