import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LaterAnswers } from '../../../src/main/shards/later-answers.ts'
import type { TurnEntry } from '../../../src/main/shards/turn.ts'
import { StoreError } from '../../../src/shared/errors.ts'

const RESULT = { value: null, pages: 1, relaxed: false }

const later = suite('main/shards/later-answers')

later('an answer finds who waits for it, whichever comes first', () => {
  const settled: TurnEntry[] = []
  const answers = new LaterAnswers(entry => settled.push(entry))
  const [first, second] = [entry(), entry()]
  answers.expect(1, first)
  answers.take(2, RESULT)
  answers.take(1, RESULT)
  answers.expect(2, second)
  assert.equal(settled, [first, second])
})

later('when the shard is gone all that wait are refused', () => {
  const refused: StoreError[] = []
  const answers = new LaterAnswers(() => undefined)
  answers.expect(1, entry(refused))
  answers.abandon(new StoreError('shard_failed', 'gone'))
  assert.equal(
    refused.map(({ code }) => code),
    ['shard_failed'],
  )
})

later('a mutation that is expected after the shard is gone is refused at once', () => {
  const refused: StoreError[] = []
  const answers = new LaterAnswers(() => undefined)
  answers.abandon(new StoreError('shard_failed', 'gone'))
  answers.expect(1, entry(refused))
  assert.is(refused.length, 1)
})

function entry(refused: StoreError[] = []): TurnEntry {
  return {
    mutation: { kind: 'barrier' },
    batch: undefined,
    resolve: () => undefined,
    reject: error => refused.push(error),
  }
}

later.run()
