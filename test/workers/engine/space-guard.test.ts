import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DiskError } from '../../../src/workers/disk/disk.ts'
import { SpaceGuard } from '../../../src/workers/engine/space-guard.ts'

const space = suite('workers/engine/space-guard')

space('appends stop below the reserve and go on above twice that', () => {
  let free = 101
  let now = 0
  const guard = new SpaceGuard(() => free, 100)
  const isFullWith = (bytes: number) => {
    free = bytes
    now += 1000
    guard.check(now, false)
    return guard.isFull
  }
  assert.equal([101, 99, 150, 199, 200, 150].map(isFullWith), [
    false,
    true,
    true,
    true,
    false,
    false,
  ])
})

space('a disk that does not tell its free space leaves the shard as it was', () => {
  let free: number | undefined = 99
  const guard = new SpaceGuard(() => {
    if (free === undefined) throw new DiskError('EIO', 'freeBytes', '')
    return free
  }, 100)
  guard.check(1000, false)
  free = undefined
  guard.check(2000, false)
  assert.ok(guard.isFull)
  free = 1000
  guard.check(3000, false)
  free = undefined
  guard.check(4000, false)
  assert.not.ok(guard.isFull)
})

space('a job that failed for space counts until one has succeeded', () => {
  const guard = new SpaceGuard(() => 1e9, 100)
  guard.noteJobs(true)
  assert.ok(guard.isFull)
  guard.noteJobs(false)
  assert.not.ok(guard.isFull)
})

space('a flusher that waits for room counts while it waits', () => {
  const guard = new SpaceGuard(() => 1e9, 100)
  guard.check(0, true)
  assert.ok(guard.isFull)
  guard.check(1, false)
  assert.not.ok(guard.isFull)
})

space.run()
