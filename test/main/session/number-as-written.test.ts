import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { numberAsWritten } from '../../../src/main/session/number-as-written.ts'

const number = suite('main/session/number-as-written')

number('digits are kept that a double would not', () => {
  for (const digits of ['12345678901234567890', '-0', '1.10', '1e400', '1E+2']) {
    assert.is(numberAsWritten(`{"id":${digits}}`, 'id'), digits)
    assert.is(numberAsWritten(`{ "a" : 1 ,\n"id"\t:\n${digits}\n, "b":2}`, 'id'), digits)
  }
})

number('only a member of the object itself counts, and the last of that name', () => {
  assert.is(numberAsWritten('{"a":{"id":1},"b":[{"id":2}],"id":3,"c":{"id":4}}', 'id'), '3')
  assert.is(numberAsWritten('{"id":1,"id":2}', 'id'), '2')
})

number('what a string holds is not read', () => {
  const text = JSON.stringify({ a: '","id":1,"', 'b"\\': '\\"id":2', id: 3, c: '"id":4' })
  assert.is(numberAsWritten(text, 'id'), '3')
})

number('a name may be written with escapes', () => {
  assert.is(numberAsWritten('{"\\u0069d":7}', 'id'), '7')
})

number.run()
