import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StreamHolds } from '../../../src/workers/engine/stream-holds.ts'

const holds = suite('workers/engine/stream-holds')

holds('a stream is free until a transaction holds it, and again after', () => {
  const streams = new StreamHolds<string>()
  streams.hold(['a', 'b'], 7)
  assert.equal([streams.isFree(['c']), streams.isFree(['c', 'b'])], [true, false])
  assert.is(streams.holderOf('a'), 7)
  streams.release(['a', 'b'])
  assert.ok(streams.isFree(['a', 'b']))
})

holds('what is parked goes on in the order in which it came', () => {
  const streams = new StreamHolds<string>()
  streams.hold(['a'], 1)
  streams.park('first', ['a'])
  streams.park('second', ['a'])
  assert.equal(runAll(streams), [])
  streams.release(['a'])
  assert.equal(runAll(streams), ['first', 'second'])
  assert.ok(streams.isFree(['a']))
})

holds('one of several streams keeps its place on each of them', () => {
  const streams = new StreamHolds<string>()
  streams.hold(['a'], 1)
  streams.park('both', ['a', 'b'])
  assert.not.ok(streams.isFree(['b']), 'nothing overtakes it on b')
  streams.park('later', ['b'])
  streams.park('else', ['c'])
  streams.touch()
  assert.equal(runAll(streams), ['else'])
  streams.release(['a'])
  assert.equal(runAll(streams), ['both', 'later'])
})

holds('what runs may hold streams, and keeps those behind it back', () => {
  const streams = new StreamHolds<string>()
  streams.hold(['a'], 1)
  streams.park('transaction', ['a', 'b'])
  streams.park('append', ['b'])
  streams.release(['a'])
  const run = (item: string) => {
    if (item === 'transaction') streams.hold(['a', 'b'], 2)
    return true
  }
  assert.ok(streams.runFree(() => true, run))
  assert.is(streams.length, 1)
  streams.release(['a', 'b'])
  assert.equal(runAll(streams), ['append'])
})

holds('without room everything from there on stays', () => {
  const streams = new StreamHolds<string>()
  for (const stream of ['a', 'b', 'c']) streams.park(`on ${stream}`, [stream])
  streams.touch()
  assert.not.ok(
    streams.runFree(
      () => true,
      item => item === 'on a',
    ),
  )
  assert.is(streams.length, 2)
  assert.equal(runAll(streams), ['on b', 'on c'])
})

holds('what may not run yet stays, and keeps those behind it back', () => {
  const streams = new StreamHolds<string>()
  streams.park('prepare', ['a'])
  streams.park('append', ['a'])
  streams.touch()
  streams.runFree(
    item => item !== 'prepare',
    () => true,
  )
  assert.is(streams.length, 2)
  streams.touch()
  assert.equal(runAll(streams), ['prepare', 'append'])
})

holds('what is taken out makes room for what is behind it', () => {
  const streams = new StreamHolds<string>()
  streams.hold(['a'], 1)
  streams.park('withdrawn', ['a', 'b'])
  streams.park('behind', ['b'])
  assert.equal(
    streams.take(item => item === 'withdrawn'),
    ['withdrawn'],
  )
  assert.equal(runAll(streams), ['behind'])
})

function runAll(streams: StreamHolds<string>): string[] {
  const ran: string[] = []
  streams.runFree(
    () => true,
    item => ran.push(item) > 0,
  )
  return ran
}

holds.run()
