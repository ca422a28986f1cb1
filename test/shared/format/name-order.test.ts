import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { compareNames } from '../../../src/shared/format/name-order.ts'
import { Random } from '../../support/random.ts'

const SEED = 20_260_801
/** Neighbours at every length of UTF-8, and around the surrogates. */
const CHARACTERS = [
  '',
  'a',
  'b',
  '/',
  '\x7f',
  '\xe9',
  '\u07ff',
  '\u0800',
  '\ud7ff',
  '\ue000',
  '\uffff',
  '\u{10000}',
  '\u{10ffff}',
]

const nameOrder = suite('shared/format/name-order')

nameOrder('names are in the order of their UTF-8 bytes', () => {
  const random = new Random(SEED)
  const name = () => Array.from({ length: 3 }, () => random.pick(CHARACTERS)).join('')
  for (let round = 0; round < 5000; round += 1) {
    const [left, right] = [name(), name()]
    const bytes = Buffer.compare(Buffer.from(left), Buffer.from(right))
    assert.is(Math.sign(compareNames(left, right)), bytes, `${left} and ${right}, seed ${SEED}`)
  }
})

nameOrder('a name comes after its beginnings', () => {
  assert.ok(compareNames('orders', 'orders/1') < 0)
  assert.ok(compareNames('orders', '') > 0)
  assert.is(compareNames('orders', 'orders'), 0)
})

nameOrder.run()
