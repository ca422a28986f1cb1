import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { layout } from '../../../src/shared/format/layout.ts'

const layouts = suite('shared/format/layout')

layouts('fields that follow one another have their positions', () => {
  assert.equal(layout(7, { a: [0, 4], b: [4, 1], c: [5, 2] }), { a: 0, b: 4, c: 5 })
})

layouts('a gap is refused', () => {
  assert.throws(() => layout(6, { a: [0, 4], b: [5, 1] }), 'b is at 5, expected 4')
})

layouts('an overlap is refused', () => {
  assert.throws(() => layout(4, { a: [0, 4], b: [3, 1] }), 'b is at 3, expected 4')
})

layouts('an end that is not the size is refused', () => {
  assert.throws(() => layout(5, { a: [0, 4] }), 'fields end at 4, the structure at 5')
})

layouts.run()
