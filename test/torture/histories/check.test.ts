import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkHistory } from './check.ts'
import { type AppendOperation, emptyHistory, type History, type Observation } from './history.ts'

const check = suite('torture/histories/check')
const NAMES = { stream: 's', streamId: 'one' }

check('appends that overlap may have any order', () => {
  const history = historyOf([append(0, 10, 1, 'a'), append(1, 9, 0, 'b')], [read(11, 12, 'b', 'a')])
  assert.equal(checkHistory(history), [])
})

check('an append that ended before another began has the lower offset', () => {
  const history = historyOf([append(0, 1, 1, 'a'), append(2, 3, 0, 'b')], [read(4, 5, 'b', 'a')])
  assert.match(detailOf(history), /began after the one at 1 had ended/)
})

check('an acknowledged append that a later read does not show is lost', () => {
  const history = historyOf([append(0, 1, 0, 'a')], [read(2, 3)])
  assert.match(detailOf(history), /said to end at 0 when 1 was known/)
})

check('two reads in a row never see the end go back', () => {
  const unknown = { ...append(0, 9, 0, 'a'), outcome: 'unknown' as const }
  assert.match(detailOf(historyOf([unknown], [read(1, 2, 'a'), read(3, 4)])), /end at 0 when 1/)
  assert.equal(checkHistory(historyOf([unknown], [read(1, 2), read(3, 4, 'a')])), [])
})

check('a record that comes twice is found', () => {
  const history = historyOf([append(0, 1, 0, 'a')], [read(2, 3, 'a', 'a')])
  assert.match(detailOf(history), /repeats the record at 0/)
})

check('a refused append and one that nobody sent are never seen', () => {
  const refused = { ...append(0, 1, 0, 'a'), outcome: 'refused' as const }
  assert.match(detailOf(historyOf([refused], [read(2, 3, 'a')])), /was refused/)
  assert.match(detailOf(historyOf([], [read(2, 3, 'a')])), /nobody sent/)
})

check('half of a batch is found', () => {
  const batch = { ...append(0, 9, 0, 'a', 'b'), outcome: 'unknown' as const }
  const history = historyOf([batch, append(0, 9, 1, 'c')], [read(10, 11, 'a', 'c')])
  assert.match(detailOf(history), /half of an append/)
})

check('an append is where it was expected', () => {
  const history = historyOf([{ ...append(0, 1, 0, 'a'), expectedOffset: 3 }], [])
  assert.match(detailOf(history), /expected 3 is at 0/)
})

check('a record is not seen before it is sent', () => {
  const history = historyOf([append(5, 6, 0, 'a')], [read(1, 2, 'a')])
  assert.match(detailOf(history), /told before it was sent/)
})

check('a stream is another one only after a deletion, and never the old one again', () => {
  const lives = [read(1, 2), { ...read(5, 6), streamId: 'two' }]
  const deletion = { stream: 's', startMs: 3, endMs: 4, isAnswered: true }
  assert.match(detailOf(historyOf([], lives)), /gone without a deletion/)
  assert.equal(checkHistory({ ...historyOf([], lives), deletions: [deletion] }), [])
  const ghost = { ...historyOf([], [...lives, read(7, 8)]), deletions: [deletion] }
  assert.match(detailOf(ghost), /seen after its deletion/)
})

check('an append may be answered after the deletion of its stream was', () => {
  const deletion = { stream: 's', startMs: 1, endMs: 2, isAnswered: true }
  const other = { ...read(5, 6), streamId: 'two' }
  const history = historyOf([append(0, 4, 0, 'a')], [other])
  assert.equal(checkHistory({ ...history, deletions: [deletion] }), [])
})

function append(
  startMs: number,
  endMs: number,
  firstOffset: number,
  ...digests: string[]
): AppendOperation {
  return { ...NAMES, startMs, endMs, digests, outcome: 'applied', firstOffset }
}

/** A read of the whole stream. */
function read(startMs: number, endMs: number, ...digests: string[]): Observation {
  return { ...NAMES, startMs, endMs, firstOffset: 0, digests, tailOffset: digests.length }
}

function historyOf(appends: AppendOperation[], observations: Observation[]): History {
  return { ...emptyHistory(), appends, observations }
}

function detailOf(history: History): string {
  return checkHistory(history)
    .map(({ detail }) => detail)
    .join('; ')
}

check.run()
