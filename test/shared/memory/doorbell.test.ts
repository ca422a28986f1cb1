import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ring, waitForChange, whenChanged } from '../../../src/shared/memory/doorbell.ts'

const WORD = 1
const newWords = () => new Int32Array(new SharedArrayBuffer(8))

const doorbell = suite('shared/memory/doorbell')

doorbell('who waits is woken by a ring', async () => {
  const words = newWords()
  const waiting = whenChanged(words, WORD, 0)
  assert.ok(waiting)
  ring(words, WORD)
  assert.is(await waiting, 'ok')
})

doorbell('everyone who waits is woken', async () => {
  const words = newWords()
  const first = whenChanged(words, WORD, 0)
  const second = whenChanged(words, WORD, 0)
  ring(words, WORD)
  assert.equal([await first, await second], ['ok', 'ok'])
})

doorbell('a ring before the wait is not lost', () => {
  const words = newWords()
  const seen = Atomics.load(words, WORD)
  ring(words, WORD)
  assert.is(whenChanged(words, WORD, seen), undefined)
  waitForChange(words, WORD, seen) // returns: it has no time limit
  assert.is(words[WORD], 1)
})

doorbell('a wait that nobody ends ends with its time', () => {
  waitForChange(newWords(), WORD, 0, 1)
})

doorbell('the word wraps, and a wrap is a change', () => {
  const words = newWords().fill(2 ** 31 - 1)
  ring(words, WORD)
  assert.equal([...words], [2 ** 31 - 1, -(2 ** 31)])
  assert.is(whenChanged(words, WORD, 2 ** 31 - 1), undefined)
})

doorbell.run()
