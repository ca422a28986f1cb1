import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Queue } from '../../src/shared/queue.ts'
import { Random } from '../support/random.ts'

const SEED = 20_260_801

const queue = suite('shared/queue')

queue('what goes in first comes out first', () => {
  const items = new Queue<string>()
  items.push('a')
  items.push('b')
  assert.equal([items.length, items.peek(), items.shift()], [2, 'a', 'a'])
  assert.equal([items.length, items.peek(), items.shift()], [1, 'b', 'b'])
})

queue('an empty queue gives nothing, and goes on', () => {
  const items = new Queue<number>()
  assert.equal([items.length, items.peek(), items.shift()], [0, undefined, undefined])
  items.push(1)
  assert.equal([items.shift(), items.shift(), items.length], [1, undefined, 0])
})

queue('it behaves as an array does, through every shrinking', () => {
  const random = new Random(SEED)
  const items = new Queue<number>()
  const model: number[] = []
  for (let step = 0; step < 20_000; step += 1) {
    // Grows to thousands, then drains, again and again.
    if (random.chance(step % 8000 < 4000 ? 0.9 : 0.1)) {
      items.push(step)
      model.push(step)
    } else {
      assert.is(items.shift(), model.shift(), `seed ${SEED}, step ${step}`)
    }
    assert.is(items.length, model.length, `seed ${SEED}, step ${step}`)
    assert.is(items.peek(), model[0], `seed ${SEED}, step ${step}`)
  }
})

queue.run()
