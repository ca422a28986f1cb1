import * as assert from 'uvu/assert'
import type { StreamStore, TransactionAppend } from '../../src/main/store.ts'
import {
  append,
  batchOf,
  CONFIG,
  type Define,
  numbered,
  readJson,
  rejects,
  textsIn,
  textsOf,
} from './store-helpers.ts'

/** Enough that some of them are on one shard, and some are not. */
const NAMES = numbered(12).map(index => `stream-${index}`)

/** Appends to many streams, all of them or none. */
export function testTransactions(test: Define): void {
  testCommits(test)
  testAborts(test)
  testOverlaps(test)
}

function testCommits(test: Define): void {
  test('a transaction appends to every stream, and answers in their order', async store => {
    await append(store, 'stream-3', 'before')
    const { transactionId, appends } = await store.transact(NAMES.map(name => part(name, 'x', 'y')))
    assert.match(transactionId, /^[0-9a-f]{16}$/)
    assert.equal(
      appends.map(({ stream }) => stream),
      NAMES,
    )
    for (const { stream, firstOffset, nextOffset, chainHead } of appends) {
      assert.equal([firstOffset, nextOffset], stream === 'stream-3' ? [1, 3] : [0, 2], stream)
      assert.is((await store.info(stream)).chainHead, chainHead)
      assert.equal((await textsIn(store, stream)).slice(-2), ['x', 'y'])
    }
  })

  test('a transaction over one stream is an append with an id of its own', async store => {
    const first = await store.transact([part('a', 'x')])
    const second = await store.transact([{ ...part('a', 'y'), expectedOffset: 1 }])
    assert.is.not(first.transactionId, second.transactionId)
    assert.equal(await textsIn(store, 'a'), ['x', 'y'])
  })

  test('a transaction is seen by subscribers and counted in what follows', async store => {
    await store.transact(NAMES.map(name => part(name, 'x')))
    for (const name of NAMES) {
      assert.is((await append(store, name, 'y')).firstOffset, 1)
      assert.equal((await store.verify(name, {})).ok, true)
    }
  })

  test('a transaction creates the streams that are not there', async store => {
    await store.create('a', { ...CONFIG, durability: 'immediate' })
    await store.transact([part('a', 'x'), part('b', 'x')])
    assert.is((await store.info('a')).config.durability, 'immediate')
    assert.equal((await store.info('b')).config, CONFIG)
  })
}

function testAborts(test: Define): void {
  test('one expected offset that fails applies nothing of a transaction', async store => {
    await append(store, 'stream-5', 'x')
    for (const at of [0, 5, 11]) {
      const asked = NAMES.map((name, index) =>
        index === at ? { ...part(name, 'y'), expectedOffset: 7 } : part(name, 'y'),
      )
      const { fields } = await rejects(store.transact(asked), 'offset_mismatch')
      const nextOffset = at === 5 ? 1 : 0
      assert.equal(fields, { nextOffset, stream: NAMES[at], outcome: 'not_applied' })
    }
    await assertOnly(store, 'stream-5')
  })

  test('a closed stream applies nothing of a transaction', async store => {
    await append(store, 'stream-5', 'x')
    await store.closeStream('stream-5')
    const asked = NAMES.map(name => part(name, 'y'))
    const { fields } = await rejects(store.transact(asked), 'stream_closed')
    assert.equal([fields.stream, fields.outcome], ['stream-5', 'not_applied'])
    await assertOnly(store, 'stream-5')
  })

  test('a transaction that failed leaves its streams to the next one', async store => {
    const asked = NAMES.map(name => ({ ...part(name, 'x'), expectedOffset: 0 }))
    const bad = [...asked.slice(1), { ...part('stream-0', 'x'), expectedOffset: 1 }]
    await rejects(store.transact(bad), 'offset_mismatch')
    await store.transact(asked)
    await rejects(store.transact(asked), 'offset_mismatch')
    for (const name of NAMES) assert.equal(await textsIn(store, name), ['x'])
  })

  test('a closed store takes no transaction', async store => {
    await store.close()
    const failure = await rejects(store.transact([part('a', 'x'), part('b', 'x')]), 'shutting_down')
    assert.is(failure.fields.outcome, 'not_applied')
  })
}

function testOverlaps(test: Define): void {
  test('transactions over the same streams in any order all come to an end', async store => {
    const sent = numbered(40).map(index => {
      const turned = Number(index) % 2 === 0 ? NAMES : NAMES.toReversed()
      const from = Number(index) % 7
      return store.transact(turned.slice(from, from + 5).map(name => part(name, index)))
    })
    const results = await Promise.all(sent)
    for (const [index, { appends }] of results.entries()) {
      for (const { stream, firstOffset } of appends) {
        const page = await readJson(store, stream, { from: firstOffset, limit: 1 })
        assert.equal(textsOf(page), [`${index}`])
      }
    }
  })

  test('of transactions that expect the same, one is applied', async store => {
    const asked = numbered(20).map(index => [
      { ...part('stream-1', index), expectedOffset: 0 },
      { ...part('stream-2', index), expectedOffset: 0 },
    ])
    const results = await Promise.allSettled(asked.map(appends => store.transact(appends)))
    assert.is(results.filter(({ status }) => status === 'fulfilled').length, 1)
    const left = await textsIn(store, 'stream-1')
    assert.is(left.length, 1)
    assert.equal(await textsIn(store, 'stream-2'), left)
  })

  test('appends that come with transactions keep their order behind them', async store => {
    const sent: Promise<unknown>[] = []
    for (const index of numbered(30)) {
      sent.push(store.transact([part('stream-1', `t${index}`), part('stream-2', `t${index}`)]))
      sent.push(append(store, 'stream-1', `a${index}`))
    }
    await Promise.all(sent)
    const texts = await textsIn(store, 'stream-1')
    const expected = numbered(30).flatMap(index => [`t${index}`, `a${index}`])
    assert.equal([texts.length, new Set(texts)], [60, new Set(expected)])
    const appended = texts.filter(text => text?.startsWith('a'))
    assert.equal(
      appended,
      numbered(30).map(index => `a${index}`),
    )
    assert.is((await store.info('stream-2')).nextOffset, 30)
  })
}

function part(stream: string, ...texts: string[]): TransactionAppend {
  return { stream, ...batchOf(...texts) }
}

/** No stream is there but one, which has one record. */
async function assertOnly(store: StreamStore, name: string): Promise<void> {
  const { streams } = await store.list({ prefix: '', after: '', limit: 100 })
  assert.equal(
    streams.map(({ stream, nextOffset }) => [stream, nextOffset]),
    [[name, 1]],
  )
}
