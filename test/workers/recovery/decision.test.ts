import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decide, FOUND } from '../../../src/workers/recovery/decision.ts'

const decision = suite('workers/recovery/decision')

decision('every combination has a decision', () => {
  for (const found of FOUND) {
    for (const vouched of [true, false]) {
      assert.ok(['end', 'cut', 'refuse'].includes(decide(found, vouched)), `${found} ${vouched}`)
    }
  }
})

decision('whatever is vouched for and not there is refused', () => {
  for (const found of FOUND) assert.is(decide(found, true), 'refuse')
})

decision('unwritten space and stale bytes end a journal, an unfinished block is cut', () => {
  assert.equal(
    FOUND.map(found => decide(found, false)),
    ['end', 'end', 'cut', 'cut', 'end'],
  )
})

decision.run()
