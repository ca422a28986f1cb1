import { STREAM_CONFIG_DEFAULT } from '../../../src/shared/limits.ts'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StreamLog } from '../../../src/workers/streams/stream-log.ts'
import { StreamTable } from '../../../src/workers/streams/stream-table.ts'

const CONFIG = STREAM_CONFIG_DEFAULT

const table = suite('workers/streams/stream-table')

table('a stream is listed once it is durable, in byte order of its name', () => {
  const streams = new StreamTable()
  for (const name of ['b', 'é', 'a', '\u{1f600}', '\uffee', 'ab']) add(streams, name)
  streams.assign(new StreamLog('not yet', 'i'.repeat(16), 0, CONFIG))
  assert.equal(names(streams, '', ''), ['a', 'ab', 'b', 'é', '\uffee', '\u{1f600}'])
})

table('a listing starts above a name and keeps to a prefix', () => {
  const streams = new StreamTable()
  for (const name of ['a', 'b', 'b/1', 'b/2', 'b/3', 'c']) add(streams, name)
  assert.equal(names(streams, 'b/', ''), ['b/1', 'b/2', 'b/3'])
  assert.equal(names(streams, 'b/', 'b/1'), ['b/2', 'b/3'])
  assert.equal(names(streams, '', 'b/2'), ['b/3', 'c'])
  assert.equal(
    streams.list('b', '', 2).map(({ stream }) => stream),
    ['b', 'b/1'],
  )
})

table('a deleted stream that was created again is listed once', () => {
  const streams = new StreamTable()
  const first = add(streams, 'a')
  assert.equal(names(streams, '', ''), ['a'])
  streams.unassign(first)
  streams.remove(first)
  assert.equal(names(streams, '', ''), [])
  add(streams, 'a')
  assert.equal(names(streams, '', ''), ['a'])
})

function add(streams: StreamTable, name: string): StreamLog {
  const log = new StreamLog(name, name.padEnd(16, '.').slice(0, 16), 0, CONFIG)
  streams.assign(log)
  streams.makeDurable(log)
  return log
}

function names(streams: StreamTable, prefix: string, after: string): string[] {
  return streams.list(prefix, after, 100).map(({ stream }) => stream)
}

table.run()
