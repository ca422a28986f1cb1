import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KIB, MIB } from '../../../src/shared/limits.ts'
import { GrowingMemory } from '../../../src/shared/memory/growing-memory.ts'

const growing = suite('shared/memory/growing-memory')

growing('what was taken is at least as long as asked', () => {
  const memory = new GrowingMemory()
  for (const bytes of [1, 64 * KIB, 64 * KIB + 1, MIB]) {
    assert.ok(memory.take(bytes).byteLength >= bytes)
  }
})

growing('less than before is the same memory, not more', () => {
  const memory = new GrowingMemory()
  new Uint8Array(memory.take(MIB))[0] = 7
  const again = memory.take(KIB)
  assert.is(again.byteLength, MIB)
  assert.is(new Uint8Array(again)[0], 7)
})

growing('what was taken before stays what it was when the memory grows', () => {
  const memory = new GrowingMemory()
  const before = memory.take(KIB)
  memory.take(MIB)
  assert.is(before.byteLength, 64 * KIB)
})

growing.run()
