import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { streamPath, STREAMS_PATH } from '../../../src/shared/format/paths.ts'
import { makeDirectories } from '../../../src/workers/disk/files.ts'
import { makeStreamDirectory } from '../../../src/workers/streams/missing-files.ts'
import { Random } from '../../support/random.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'

const SEEDS = 20
const STREAM = streamPath('orders', 'i'.repeat(16))

const directories = suite('workers/disk/directories')

directories('a directory that a dead process made is durable once it is made again', () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const disk = new SimulatedDisk(new Random(seed))
    disk.makeDirectory('journals')
    disk.kill()
    makeDirectories(disk, 'journals/shard-00')
    disk.cutPower()
    assert.ok(disk.exists('journals/shard-00'), `seed ${seed}`)
  }
})

directories('so is the directory of a stream, with those that it lies in', () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const disk = new SimulatedDisk(new Random(seed))
    makeDirectories(disk, STREAMS_PATH)
    makeStreamDirectory(disk, STREAM)
    disk.kill()
    for (const path of makeStreamDirectory(disk, STREAM)) disk.syncDirectory(path)
    disk.cutPower()
    assert.ok(disk.exists(STREAM), `seed ${seed}`)
  }
})

directories.run()
