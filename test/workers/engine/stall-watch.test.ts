import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StallWatch } from '../../../src/workers/engine/stall-watch.ts'

const STALL_MS = 1000

const stall = suite('workers/engine/stall-watch')

stall('a flusher without progress has stalled when the limit has passed', () => {
  const watch = new StallWatch(STALL_MS)
  watch.noteProgress(0)
  assert.equal(
    [200, 400, 600, 800, 999, 1000].map(now => watch.observe(now)),
    [false, false, false, false, false, true],
  )
})

stall('one observation after a long pause is no stall, however long it was', () => {
  const watch = new StallWatch(STALL_MS)
  watch.noteProgress(0)
  assert.equal(
    [3_600_000, 3_600_010].map(now => watch.observe(now)),
    [false, false],
  )
})

stall('progress after a pause begins the limit anew', () => {
  const watch = new StallWatch(STALL_MS)
  watch.noteProgress(0)
  for (const now of [250, 500, 90_000]) assert.not.ok(watch.observe(now))
  watch.noteProgress(90_001)
  for (const now of [90_251, 90_501, 90_751]) assert.not.ok(watch.observe(now))
  assert.ok(watch.observe(91_001))
})

stall('it asks to be called a few times within the limit', () => {
  const watch = new StallWatch(STALL_MS)
  watch.noteProgress(500)
  assert.is(watch.deadline, 750)
  watch.observe(700)
  assert.is(watch.deadline, 950)
})

stall.run()
