import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BodyBudget } from '../../../src/main/http/body-budget.ts'
import { PartialMessage } from '../../../src/main/session/partial-message.ts'

const partial = suite('main/session/partial-message')

partial('what arrives is charged until the message is whole', () => {
  const budget = new BodyBudget(1000, 1000)
  const message = new PartialMessage(budget)
  assert.ok(message.onChunk(300))
  assert.ok(message.onChunk(200))
  assert.is(budget.used, 500)
  message.complete()
  assert.ok(message.onChunk(100))
  assert.is(budget.used, 0)
})

partial('nothing is charged for what does not fit', () => {
  const budget = new BodyBudget(1000, 1000)
  const message = new PartialMessage(budget)
  assert.ok(message.onChunk(600))
  assert.not.ok(message.onChunk(401))
  assert.is(budget.used, 600)
  assert.ok(message.onChunk(400))
})

partial('control frames are no part of a message, wherever a read cuts them', () => {
  const budget = new BodyBudget(1000, 1000)
  const message = new PartialMessage(budget)
  assert.ok(message.onChunk(100))
  assert.ok(message.onChunk(10))
  message.onControl(14) // 20 bytes with its header, of which 10 came before
  assert.ok(message.onChunk(10 + 50))
  assert.is(budget.used, 150)
})

partial('a control frame after a whole message gives nothing back', () => {
  const budget = new BodyBudget(1000, 1000)
  const message = new PartialMessage(budget)
  message.complete()
  assert.ok(message.onChunk(110)) // its last 10 bytes begin a control frame
  message.onControl(14)
  assert.ok(message.onChunk(10))
  assert.is(budget.used, 0)
})

partial.run()
