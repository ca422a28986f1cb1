import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StoreError } from '../../../src/shared/errors.ts'
import { producerStatesBytes } from '../../../src/shared/format/producer-state.ts'
import { MIB, PRODUCERS_MAX } from '../../../src/shared/limits.ts'
import { ProducerTable } from '../../../src/workers/streams/producer-table.ts'

const producers = suite('workers/streams/producer-table')

const NEVER = 0

producers('the next seq is no repeat', () => {
  const table = tableOf(3)
  assert.is(table.check(producer(3), NEVER), undefined)
})

producers('a repeat is answered as the first time', () => {
  const table = tableOf(3)
  assert.equal(
    [0, 1, 2].map(seq => table.check(producer(seq), NEVER)),
    [0, 1, 2].map(resultOf),
  )
})

producers('a gap is refused, and the seq that is expected is named', () => {
  assert.equal(refusal(tableOf(3), producer(5)), ['producer_gap', { expectedSeq: 3 }])
})

producers('an unknown producer and a new epoch start at seq 0', () => {
  const table = tableOf(3)
  assert.is(table.check({ id: 'other', epoch: 9, seq: 0 }, NEVER), undefined)
  assert.is(table.check(producer(0, 1), NEVER), undefined)
  assert.is(refusal(table, { id: 'other', epoch: 0, seq: 1 })[0], 'invalid_request')
  assert.is(refusal(table, producer(3, 1))[0], 'invalid_request')
})

producers('an older epoch is fenced, its repeats too', () => {
  const table = tableOf(3)
  append(table, 0, 1)
  assert.equal(refusal(table, producer(3)), ['producer_fenced', { epoch: 1 }])
  assert.is(refusal(table, producer(0))[0], 'producer_fenced')
  assert.equal(table.check(producer(0, 1), NEVER), resultOf(0))
})

producers('the results of the last 256 appends are known, older ones are refused', () => {
  const table = tableOf(300)
  assert.equal(table.check(producer(44), NEVER), resultOf(44))
  const [code, fields] = refusal(table, producer(43))
  assert.equal([code, fields], ['invalid_request', { duplicate: true, expectedSeq: 300 }])
})

producers('an idle producer is forgotten: it starts at seq 0 again', () => {
  const table = tableOf(3)
  assert.is(refusal(table, producer(3), resultOf(2).timestamp + 1)[0], 'invalid_request')
  assert.is(table.check(producer(0), resultOf(2).timestamp + 1), undefined)
  assert.is(table.check(producer(3), resultOf(2).timestamp), undefined)
})

producers('there are at most PRODUCERS_MAX, but those that expired make room', () => {
  const table = new ProducerTable()
  for (let count = 0; count < PRODUCERS_MAX; count += 1) append(table, 0, 0, `p${count}`)
  const late = { id: 'late', epoch: 0, seq: 0 }
  assert.is(refusal(table, late)[0], 'too_many_requests')
  assert.is(table.check(producer(1, 0, 'p7'), NEVER), undefined)
  assert.is(table.check(late, resultOf(0).timestamp + 1), undefined)
})

producers('what is assigned is checked against, what is durable is stored', () => {
  const table = tableOf(2)
  const state = table.next(producer(2), resultOf(2))
  table.assign(state)
  assert.equal(table.check(producer(2), NEVER), resultOf(2))
  assert.equal(lastSeqs(table), [1])
  table.makeDurable(state)
  assert.equal(lastSeqs(table), [2])
})

producers('a stream with many producers forgets its oldest results first', () => {
  const table = new ProducerTable()
  for (let count = 0; count < PRODUCERS_MAX; count += 1) {
    for (let seq = 0; seq < 20; seq += 1) append(table, seq, 0, `p${count}`)
  }
  for (let seq = 20; seq < 256; seq += 1) append(table, seq, 0, 'p0')
  const states = table.durable(NEVER)
  assert.ok(producerStatesBytes(states) < MIB)
  assert.is(states.length, PRODUCERS_MAX)
  assert.ok(states.every(({ results }) => results.length >= 8))
  assert.equal(table.check(producer(255, 0, 'p0'), NEVER), resultOf(255))
  assert.equal(table.check(producer(12, 0, 'p7'), NEVER), resultOf(12))
  assert.is(refusal(table, producer(11, 0, 'p7'))[0], 'invalid_request')
})

producers('a session alone among idle producers keeps all of its results', () => {
  const table = new ProducerTable()
  for (let count = 0; count < 200; count += 1) {
    for (let seq = 0; seq < 20; seq += 1) append(table, seq, 0, `p${count}`)
  }
  for (let seq = 0; seq < 300; seq += 1) append(table, seq + 0, 0, 'late')
  const late = table.durable(NEVER).find(({ id }) => id === 'late')
  assert.is(late?.results.length, 256)
})

producers('a table from the catalogue knows the same', () => {
  const table = ProducerTable.from(tableOf(3).durable(NEVER))
  assert.equal(table.check(producer(2), NEVER), resultOf(2))
  assert.is(table.check(producer(3), NEVER), undefined)
})

function producer(seq: number, epoch = 0, id = 'p') {
  return { id, epoch, seq }
}

function resultOf(seq: number) {
  const hashes = { recordHash: String(seq), chainHead: `after ${seq}` }
  return { firstOffset: 10 * seq, nextOffset: 10 * seq + 10, timestamp: 1000 + seq, ...hashes }
}

function append(table: ProducerTable, seq: number, epoch = 0, id = 'p'): void {
  const state = table.next(producer(seq, epoch, id), resultOf(seq))
  table.assign(state)
  table.makeDurable(state)
}

/** With a producer whose seqs below `count` are durable. */
function tableOf(count: number): ProducerTable {
  const table = new ProducerTable()
  for (let seq = 0; seq < count; seq += 1) append(table, seq)
  return table
}

function lastSeqs(table: ProducerTable): number[] {
  return table.durable(NEVER).map(({ lastSeq }) => lastSeq)
}

function refusal(table: ProducerTable, asked: Producer, expiredBefore = NEVER) {
  try {
    table.check(asked, expiredBefore)
  } catch (error) {
    if (error instanceof StoreError) return [error.code, error.fields] as const
    throw error
  }
  return ['accepted', {}] as const
}

type Producer = ReturnType<typeof producer>

producers.run()
