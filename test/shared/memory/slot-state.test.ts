import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { advance, SlotState } from '../../../src/shared/memory/slot-state.ts'

const LEGAL = ['0-1', '1-2', '2-3', '2-4', '3-4', '3-5', '5-0']
const STATES = Object.values(SlotState)
const EDGES = STATES.flatMap(source => STATES.map(target => [source, target] as const))
const isLegal = ([source, target]: readonly [number, number]) =>
  LEGAL.includes(`${source}-${target}`)

function wordIn(state: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(8)).fill(state, 1)
}

const slotState = suite('shared/memory/slot-state')

slotState('a slot moves along every legal edge', () => {
  for (const [source, target] of EDGES.filter(isLegal)) {
    const words = wordIn(source)
    advance(words, 1, source, target)
    assert.equal([...words], [0, target])
  }
})

slotState('every other edge is refused, and the slot stays', () => {
  for (const [source, target] of EDGES.filter(edge => !isLegal(edge))) {
    const words = wordIn(source)
    assert.throws(() => advance(words, 1, source, target), /no edge from slot state/)
    assert.is(words[1], source)
  }
})

slotState('a slot in another state than said is refused, and stays', () => {
  for (const [source, target] of EDGES.filter(isLegal)) {
    for (const found of STATES.filter(state => state !== source)) {
      const words = wordIn(found)
      assert.throws(() => advance(words, 1, source, target), `slot is ${found}, expected ${source}`)
      assert.is(words[1], found)
    }
  }
})

slotState('zeroed memory is two free slots, and failed is for good', () => {
  assert.is(SlotState.Free, 0)
  assert.is(
    EDGES.filter(isLegal).some(([source]) => source === SlotState.Failed),
    false,
  )
})

slotState.run()
