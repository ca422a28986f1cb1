import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SealPolicy } from '../../../src/workers/engine/seal-policy.ts'
import { SIMULATED_OPTIONS } from '../../support/simulated-shard.ts'

const policy = suite('workers/engine/seal-policy')

policy('an empty slot is never due', () => {
  assert.not.ok(new SealPolicy(SIMULATED_OPTIONS).isDue(1e9, true))
})

policy('group goes out when the flusher is idle, and not before', () => {
  const seals = new SealPolicy(SIMULATED_OPTIONS)
  seals.note('group', 0)
  assert.not.ok(seals.isDue(0, false))
  assert.ok(seals.isDue(0, true))
})

policy('immediate goes out behind a block that is still being flushed', () => {
  const seals = new SealPolicy(SIMULATED_OPTIONS)
  seals.note('immediate', 0)
  assert.ok(seals.isDue(0, false))
})

policy('a configured delay holds group back until it has passed', () => {
  const seals = new SealPolicy({ ...SIMULATED_OPTIONS, flushDelayMs: 5 })
  seals.note('group', 10)
  assert.not.ok(seals.isDue(14, true))
  assert.ok(seals.isDue(15, true))
})

policy('the operation bound ends the delay early', () => {
  const seals = new SealPolicy({ ...SIMULATED_OPTIONS, flushDelayMs: 5, flushOperationsMax: 2 })
  seals.note('group', 0)
  assert.not.ok(seals.isDue(0, true))
  seals.note('group', 0)
  assert.ok(seals.isDue(0, true))
})

policy('relaxed waits for its own time, and goes with what goes out earlier', () => {
  const seals = new SealPolicy(SIMULATED_OPTIONS)
  seals.note('relaxed', 0)
  assert.not.ok(seals.isDue(199, true))
  assert.ok(seals.isDue(200, true))
  seals.note('group', 10)
  assert.ok(seals.isDue(10, true))
  seals.reset()
  assert.not.ok(seals.isDue(1e9, true))
})

policy.run()
