import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { codesOf, PendingShard } from '../../support/pending-shard.ts'

const pending = suite('workers/engine/pending-transactions')

pending('what is pending is shown to nobody until it is decided', () => {
  const store = new PendingShard()
  const prepared = store.prepare(1, ['a', 'b'])
  store.shard.settle()
  assert.equal([codesOf(prepared), store.shard.read('a')], [['ok'], []])
  store.decide(1)
  store.shard.settle()
  assert.equal([store.shard.read('a'), store.shard.read('b')], [['of 1'], ['of 1']])
})

pending('an aborted one leaves nothing, not even the streams that it would have made', () => {
  const store = new PendingShard()
  store.prepare(1, ['a'])
  store.resolve(1, 'abort')
  store.shard.settle()
  assert.is(store.shard.recovered.table.assigned('a'), undefined)
  assert.is(store.shard.stats().abortedTransactions, 1)
})

pending('appends to its streams wait behind it, in order; those to others pass', () => {
  const store = new PendingShard()
  store.prepare(1, ['a'])
  const waiting = [store.append('a', 'second'), store.append('a', 'third')]
  const passing = store.append('b', 'at once')
  store.shard.settle()
  assert.equal([waiting.flatMap(codesOf), codesOf(passing)], [[], ['ok']])
  store.decide(1)
  store.shard.settle()
  assert.equal(store.shard.read('a'), ['of 1', 'second', 'third'])
})

pending('a batch that waits keeps its bytes while those sent behind it are encoded', () => {
  const store = new PendingShard()
  store.prepare(1, ['a'])
  const text = 'x'.repeat(200)
  store.append('a', text)
  for (let count = 0; count < 10; count += 1) store.append('b', text)
  store.decide(1)
  store.shard.settle()
  assert.equal(store.shard.read('a'), ['of 1', text])
})

pending('what waits is checked against what it then finds', () => {
  const store = new PendingShard()
  store.append('a', 'zero')
  store.prepare(1, ['a'])
  const late = store.append('a', 'meant for 1', 1)
  const right = store.append('a', 'meant for 2', 2)
  store.decide(1)
  store.shard.settle()
  assert.equal([codesOf(late), codesOf(right)], [['offset_mismatch'], ['ok']])
})

pending('a stream that is deleted behind it is another one for those who wait longer', () => {
  const store = new PendingShard()
  store.prepare(1, ['a'])
  store.mutate({ kind: 'delete', stream: 'a' })
  store.prepare(2, ['a'])
  store.decide(1)
  store.decide(2)
  store.shard.settle()
  store.decide(2)
  store.shard.settle()
  assert.equal(store.shard.read('a'), ['of 2'])
})

pending('two that make the same stream make it once', () => {
  const store = new PendingShard()
  store.prepare(1, ['a', 'b'])
  store.prepare(2, ['b', 'c'])
  store.decide(1)
  store.shard.settle()
  store.decide(2)
  store.shard.settle()
  assert.equal(store.shard.read('b'), ['of 1', 'of 2'])
  assert.is(store.shard.stats().streams, 3)
})

pending('streams that pending ones will make count against the most allowed', () => {
  const store = new PendingShard({ streamsMax: 2 })
  store.prepare(1, ['a', 'b'])
  const refusals = store.prepare(2, ['c'])
  store.shard.settle()
  const [refused] = refusals
  assert.ok(refused !== undefined && 'error' in refused)
  assert.equal([refused.error.code, refused.error.fields['stream']], ['too_many_requests', 'c'])
  store.resolve(1, 'abort')
  assert.equal(codesOf(store.append('c', 'now')), [])
})

pending('one that waits is taken back', () => {
  const store = new PendingShard()
  store.prepare(1, ['a'])
  const waiting = store.prepare(2, ['a', 'b'])
  store.resolve(2, 'abort')
  store.append('b', 'not held')
  store.shard.settle()
  assert.equal([codesOf(waiting), store.shard.read('b')], [['overloaded'], ['not held']])
})

pending('nothing is decided that is not pending', () => {
  const store = new PendingShard()
  const refusals = store.decide(1)
  store.shard.settle()
  const [refused] = refusals
  assert.ok(refused !== undefined && 'error' in refused)
  assert.equal(
    [refused.error.code, refused.error.fields['outcome']],
    ['shard_failed', 'not_applied'],
  )
})

pending('no journal checkpoint passes a pending frame, and new ones wait for it', () => {
  const store = new PendingShard({ checkpointIntervalMs: 100 })
  store.append('other', 'dirty')
  store.prepare(1, ['a'])
  store.shard.settle()
  const before = store.shard.stats().checkpoints
  const waiting = store.prepare(2, ['b'])
  store.shard.settle()
  assert.equal([store.shard.stats().checkpoints - before, codesOf(waiting)], [0, []])
  store.decide(1)
  store.shard.settle()
  assert.ok(store.shard.stats().checkpoints > before)
  assert.equal(codesOf(waiting), ['ok'])
})

pending('a decision passes a journal that is full because of it', () => {
  const store = new PendingShard({ journalBytesMax: 64 * 1024 })
  store.prepare(1, ['a'])
  store.shard.settle()
  const appends = Array.from({ length: 40 }, () => store.append('b', 'x'.repeat(4000)))
  store.shard.settle()
  assert.ok(
    appends.some(results => results.length === 0),
    'the journal is full',
  )
  store.decide(1)
  store.shard.settle()
  assert.ok(appends.every(([result]) => result !== undefined && !('error' in result)))
  assert.equal(store.shard.read('a'), ['of 1'])
})

pending('where nobody can decide its streams refuse, and the others go on', () => {
  const store = new PendingShard()
  store.prepare(1, ['a'])
  const waiting = store.append('a', 'waits')
  store.resolve(1, 'unknown')
  const later = store.append('a', 'comes later')
  store.append('b', 'elsewhere')
  store.shard.settle()
  assert.equal([codesOf(waiting), codesOf(later)], [['shard_failed'], ['shard_failed']])
  assert.equal([store.shard.read('a'), store.shard.read('b')], [[], ['elsewhere']])
})

pending('one that a crash left is found again and again, until it is resolved', () => {
  const store = new PendingShard()
  store.append('a', 'before')
  store.prepare(9, ['a', 'new'])
  store.shard.settle()
  for (let starts = 0; starts < 3; starts += 1) {
    store.reopen()
    assert.equal(store.shard.recovered.transactions?.inDoubt, [{ id: 9, coordinator: 0 }])
    store.append('other', `${starts}`)
    store.shard.settle()
  }
  const waiting = store.append('a', 'after')
  assert.equal(codesOf(waiting), [])
  store.resolve(9, 'commit')
  store.shard.settle()
  assert.equal(store.shard.read('a'), ['before', 'of 9', 'after'])
})

pending('a clean stop leaves what is pending in doubt', () => {
  const store = new PendingShard()
  store.append('a', 'before')
  store.prepare(9, ['a'])
  const waiting = store.append('a', 'after')
  store.shard.stop()
  assert.equal(codesOf(waiting), ['shutting_down'])
  store.reopen()
  assert.equal(store.shard.recovered.transactions?.inDoubt.length, 1)
  store.resolve(9, 'abort')
  store.shard.settle()
  assert.equal(store.shard.read('a'), ['before'])
})

pending('a decision is known over journal checkpoints and starts until it is forgotten', () => {
  const store = new PendingShard({ checkpointIntervalMs: 50 })
  store.prepare(5, ['a'])
  store.shard.settle()
  store.decide(5)
  store.shard.settle()
  store.shard.stop()
  store.reopen()
  assert.equal(store.shard.recovered.transactions?.decisions, [5])
  store.mutate({ kind: 'forget', transaction: 5 })
  store.append('a', 'dirty')
  store.shard.settle()
  store.reopen()
  assert.equal(store.shard.recovered.transactions?.decisions, [])
})

pending.run()
