import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { catalogueCopyPath, manifestPath } from '../../../src/shared/format/paths.ts'
import { DiskError, type FileMode } from '../../../src/workers/disk/disk.ts'
import { Random } from '../../support/random.ts'
import { directoriesOf, directoryOf } from '../../support/stream-directory.ts'
import { Crash, SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock, SimulatedShard } from '../../support/simulated-shard.ts'

const checkpoint = suite('workers/streams/checkpoint-writer')

checkpoint('a stream has no directory before its first record is stored', () => {
  const { shard, disk } = open()
  append(shard, 'a', 1)
  assert.equal(directoriesOf(disk, 'a'), [])
  shard.settle()
  assert.ok(disk.exists(manifestPath(directoryOf(disk, 'a'))))
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

checkpoint('a stream deleted, made again and deleted before a write-back stops nothing', () => {
  const { shard, disk } = open()
  append(shard, 'x', 1)
  shard.settle()
  shard.remove('x', () => undefined)
  append(shard, 'x', 1)
  shard.remove('x', () => undefined)
  shard.settle()
  append(shard, 'y', 1)
  shard.settle()
  assert.not.ok(shard.hasFailed)
  assert.equal([directoriesOf(disk, 'x'), shard.read('y').length], [[], 1])
})

checkpoint('what a crash leaves of a deleted stream goes at the next start', () => {
  for (let steps = 1, left = 0; ; steps += 1) {
    const { shard, disk } = open()
    append(shard, 'x', 1)
    shard.settle()
    shard.remove('x', () => undefined)
    disk.crashAt = disk.operations + steps
    const hasEnded = !isCrash(() => shard.settle())
    disk.cutPower()
    if (directoriesOf(disk, 'x').length > 0) left += 1
    const next = new SimulatedShard(disk, new Random(3), new Clock())
    next.stop()
    assert.equal([next.recovered.table.size, directoriesOf(disk, 'x')], [0, []], `step ${steps}`)
    if (hasEnded) return assert.ok(left > 1)
  }
})

checkpoint('two streams whose names read and hash alike share no directory', () => {
  const { shard, disk } = open()
  // Both leave the same readable part, and the first 64 bits of their SHA-256 are the same.
  const [one, other] = ["x|'^(':|&~+|@'&!=", "x||,@(!'^,(*:),!&"] as const
  append(shard, one, 3)
  shard.settle()
  append(shard, other, 1)
  shard.settle()
  assert.equal([shard.read(one).length, shard.read(other).length], [3, 1])
  assert.is(directoriesOf(disk, 'x').length, 2)
})

checkpoint('records that the journal does not refer to yet are stored, and not indexed', () => {
  const { shard, disk } = open()
  append(shard, 'a', 1)
  shard.settle()
  const joined = (end: string) =>
    Buffer.concat(disk.paths().flatMap(path => (path.endsWith(end) ? [disk.content(path)] : [])))
  const before = joined('.idx')
  shard.append('a', ['direct'.repeat(1000)], () => undefined)
  for (shard.advance(); shard.runJob(); ) shard.advance()
  assert.ok(joined('.log').includes('direct'), 'it is stored')
  assert.ok(joined('.idx').equals(before), 'it is not indexed')
  shard.settle()
  assert.not.ok(joined('.idx').equals(before), 'it is indexed')
})

checkpoint('a checkpoint frees the journal files below it', () => {
  const { shard, disk } = open()
  append(shard, 'a', 400)
  shard.settle()
  const files = disk.paths().filter(path => path.endsWith('.wal'))
  assert.ok(files.length <= 2, files.join(' '))
})

checkpoint('a commit that only one catalogue took names no segments that are written again', () => {
  for (let steps = 0, crashes = 0; ; steps += 1) {
    const disk = new HalfCatalogueDisk(new Random(steps))
    const clock = new Clock()
    const shard = new SimulatedShard(disk, new Random(2), clock)
    append(shard, 'x', 3)
    shard.settle()
    append(shard, 'x', 7)
    append(shard, 'y', 2)
    disk.isFailing = true
    const hasEnded = !isCrash(() => {
      for (; disk.isFailing; clock.pass(300), shard.advance()) shard.runJob()
      disk.crashAt = disk.operations + steps
      shard.settle()
    })
    if (steps % 2 === 0) disk.cutPower()
    else disk.kill()
    const next = new SimulatedShard(disk, new Random(3), new Clock())
    assert.equal([next.read('x').length, next.read('y').length], [10, 2], `step ${steps}`)
    if (hasEnded) return assert.ok(crashes > 10)
    crashes += 1
  }
})

/** Has no room for a write to the second catalogue, once: the try fails and is sent again. */
class HalfCatalogueDisk extends SimulatedDisk {
  isFailing = false
  #copy: number | undefined

  override open(path: string, mode: FileMode): number {
    const file = super.open(path, mode)
    if (path === catalogueCopyPath(0)) this.#copy = file
    return file
  }

  override write(file: number, source: Buffer, position: number): number {
    if (!this.isFailing || file !== this.#copy) return super.write(file, source, position)
    this.isFailing = false
    throw new DiskError('ENOSPC', 'write', catalogueCopyPath(0))
  }
}

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

function isCrash(act: () => void): boolean {
  try {
    act()
    return false
  } catch (error) {
    if (error instanceof Crash) return true
    throw error
  }
}

checkpoint.run()
