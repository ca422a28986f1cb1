import type { Test } from 'uvu'
import * as assert from 'uvu/assert'
import type { StreamStore } from '../../src/main/store.ts'
import { BATCH_ITEM_HEADER_BYTES, encodeBatchItemHeader } from '../../src/shared/format/batch.ts'
import { RecordFormat } from '../../src/shared/format/record.ts'
import type { ReadRequest } from '../../src/shared/protocol/streams.ts'
import {
  append,
  batchOf,
  collect,
  CONFIG,
  type Define,
  READ,
  readJson,
  rejects,
  textsOf,
  withStore,
} from './store-helpers.ts'
import { testCheckpoints } from './store-suite-checkpoints.ts'
import { testProducers } from './store-suite-producers.ts'
import { testTransactions } from './store-suite-transactions.ts'
import { testTrims } from './store-suite-trims.ts'

/** What every `StreamStore` does, whatever lies behind it, by parts. */
const STORE_TESTS = {
  streams: testStreams,
  appends: testAppends,
  reads: testReads,
  subscriptions: testSubscriptions,
  producers: testProducers,
  transactions: testTransactions,
  trims: testTrims,
  checkpoints: testCheckpoints,
} as const

type StorePart = keyof typeof STORE_TESTS

export const STORE_PARTS = Object.keys(STORE_TESTS) as StorePart[]

/** Adds tests of some parts to a suite, which the caller runs, each with a store of its own. */
export function addStoreTests(
  store: Test,
  parts: readonly StorePart[],
  open: () => Promise<StreamStore>,
): void {
  for (const part of parts) {
    STORE_TESTS[part]((title, run) => store(title, () => withStore(open, run)))
  }
}

function testStreams(test: Define): void {
  test('a stream is created once and confirmed after', async store => {
    const first = await store.create('a', CONFIG)
    const second = await store.create('a', CONFIG)
    assert.equal([first.created, second.created], [true, false])
    assert.equal(second.info, first.info)
    assert.match(first.info.streamId, /^[0-9a-f]{32}$/)
    assert.is(first.info.chainHead, '0'.repeat(64))
  })

  test('a stream with another configuration is in the way', async store => {
    await store.create('a', CONFIG)
    await rejects(store.create('a', { ...CONFIG, durability: 'immediate' }), 'stream_exists')
  })

  test('what does not exist is not found', async store => {
    await rejects(store.info('a'), 'stream_not_found')
    await rejects(store.configure('a', {}), 'stream_not_found')
    await rejects(store.closeStream('a'), 'stream_not_found')
    await rejects(store.remove('a'), 'stream_not_found')
    await rejects(store.read('a', READ), 'stream_not_found')
    await rejects(store.verify('a', {}), 'stream_not_found')
    await rejects(store.subscribe('a', collect()), 'stream_not_found')
  })

  test('a configuration changes in what is named', async store => {
    await store.create('a', CONFIG)
    const info = await store.configure('a', { durability: 'immediate' })
    assert.equal(info.config, { ...CONFIG, durability: 'immediate' })
    assert.equal((await store.info('a')).config, info.config)
  })

  test('names are listed page by page in byte order', async store => {
    const names = ['b', 'a/x', 'a', '\u{1F600}', '\uFFFD', 'é', '__proto__', 'constructor']
    for (const name of names) await store.create(name, CONFIG)
    const seen: string[] = []
    let after: string | null = ''
    while (after !== null) {
      const page = await store.list({ prefix: '', after, limit: 3 })
      seen.push(...page.streams.map(({ stream }) => stream))
      after = page.next
    }
    const inByteOrder = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    assert.equal(seen, inByteOrder)
  })

  test('a list keeps to its prefix and says when it ends', async store => {
    for (const name of ['a/1', 'a/2', 'b/1']) await store.create(name, CONFIG)
    const { streams, next } = await store.list({ prefix: 'a/', after: '', limit: 2 })
    assert.equal([streams.map(({ stream }) => stream), next], [['a/1', 'a/2'], null])
    const rest = await store.list({ prefix: 'a/', after: 'a/1', limit: 1 })
    assert.equal([rest.streams.map(({ stream }) => stream), rest.next], [['a/2'], null])
  })

  test('a closed stream takes no append and can be closed again', async store => {
    await append(store, 'a', 'one')
    assert.is((await store.closeStream('a')).state, 'closed')
    assert.is((await store.closeStream('a')).state, 'closed')
    const failure = await rejects(append(store, 'a', 'two'), 'stream_closed')
    assert.is(failure.fields.outcome, 'not_applied')
    assert.is((await store.info('a')).nextOffset, 1)
  })

  test('a stream deleted and created again is another one, and empty', async store => {
    await append(store, 'a', 'one')
    const before = await store.info('a')
    await store.remove('a')
    await rejects(store.info('a'), 'stream_not_found')
    const { info } = await store.create('a', CONFIG)
    assert.is.not(info.streamId, before.streamId)
    assert.is(info.nextOffset, 0)
    assert.equal((await store.read('a', READ)).count, 0)
  })

  test('close lets nothing in and can be called again', async store => {
    await store.close()
    await store.close()
    const failure = await rejects(append(store, 'a', 'one'), 'shutting_down')
    assert.is(failure.fields.outcome, 'not_applied')
  })
}

function testAppends(test: Define): void {
  test('an append creates the stream and numbers its records', async store => {
    const first = await append(store, 'a', 'one', 'two')
    const second = await append(store, 'a', 'three')
    assert.equal([first.firstOffset, first.nextOffset], [0, 2])
    assert.equal([second.firstOffset, second.nextOffset], [2, 3])
    assert.is(second.durable, true)
    assert.ok(second.timestamp >= first.timestamp)
    assert.is((await store.info('a')).chainHead, second.chainHead)
  })

  test('an expected offset is kept to', async store => {
    const expect = (expectedOffset: number) =>
      store.append({ stream: 'a', ...batchOf('x'), expectedOffset })
    await expect(0)
    const failure = await rejects(expect(0), 'offset_mismatch')
    assert.equal(failure.fields, { nextOffset: 1, outcome: 'not_applied' })
    assert.is((await expect(1)).nextOffset, 2)
  })

  test('an expected offset that fails creates no stream', async store => {
    const refused = store.append({ stream: 'a', ...batchOf('x'), expectedOffset: 1 })
    await rejects(refused, 'offset_mismatch')
    await rejects(store.info('a'), 'stream_not_found')
  })

  test("a durability of the request goes before the stream's", async store => {
    await store.create('a', CONFIG)
    const durability = 'immediate'
    const result = await store.append({ stream: 'a', ...batchOf('x'), durability })
    assert.equal([result.durability, result.durable], ['immediate', true])
  })

  test('a relaxed append says so, and a barrier makes it visible', async store => {
    const durability = 'relaxed'
    const result = await store.append({ stream: 'a', ...batchOf('x'), durability })
    assert.is(result.durability, 'relaxed')
    await store.barrier()
    assert.is((await store.info('a')).nextOffset, 1)
  })

  test('appends of one turn keep their order', async store => {
    const sent = Array.from({ length: 50 }, (_, index) => append(store, 'a', `${index}`))
    const offsets = (await Promise.all(sent)).map(({ firstOffset }) => firstOffset)
    assert.equal(
      offsets,
      Array.from({ length: 50 }, (_, index) => index),
    )
    const { records } = await readJson(store, 'a')
    assert.equal(
      records.map(({ text }) => text),
      offsets.map(String),
    )
  })

  test('a batch is visible whole', async store => {
    const sizes = new Set<number>()
    const appended = append(store, 'a', ...Array.from({ length: 100 }, () => 'x'))
    await append(store, 'other', 'x')
    await store.read('a', READ).then(
      page => sizes.add(page.count),
      () => sizes.add(0),
    )
    await appended
    sizes.add((await store.read('a', READ)).count)
    assert.ok([...sizes].every(size => size === 0 || size === 100))
  })
}

function testReads(test: Define): void {
  test('every kind of record comes back as it went in', async store => {
    await store.append({ stream: 'a', ...mixedBatch() })
    const { records } = await readJson(store, 'a')
    const shown = records.map(({ offset: _offset, timestamp: _timestamp, ...rest }) => rest)
    assert.equal(shown, [
      { base64: 'AAH/' },
      { data: { a: 1 }, headers: { b: 'c' } },
      { text: 'é\n"' },
    ])
  })

  test('each encoding has its frame', async store => {
    await append(store, 'a', 'x', 'y')
    const line = (at: number, text: string) =>
      new RegExp(`^\\{"offset":${at},.*"text":"${text}"\\}`)
    const [first = '', second = ''] = (await readText(store, 'ndjson')).split('\n')
    assert.match(first, line(0, 'x'))
    assert.match(second, line(1, 'y'))
    const events = (await readText(store, 'sse')).split('\n\n')
    const ids = events.map(event => event.split('\n')[0])
    assert.match(ids[0] ?? '', /^id: 1\.[0-9a-f]{64}$/)
    assert.is(ids[1], `id: 2.${(await read(store, {})).lastHash}`)
    assert.ok(events[1]?.includes('\ndata: {"offset":1,'))
    const { batch } = batchOf('x', 'y')
    const { payload } = await read(store, { encoding: 'batch' })
    assert.is(Buffer.from(payload).toString('hex'), batch.toString('hex'))
  })

  test('a forward read goes on where the last ended', async store => {
    await append(store, 'a', '0', '1', '2', '3', '4')
    const first = await readJson(store, 'a', { limit: 2 })
    const second = await readJson(store, 'a', { from: first.nextOffset, limit: 2 })
    const third = await readJson(store, 'a', { from: second.nextOffset, limit: 2 })
    assert.equal(textsOf(first, second, third), ['0', '1', '2', '3', '4'])
    assert.equal([third.nextOffset, third.tailOffset], [5, 5])
  })

  test('a backward read goes down and ends at 0', async store => {
    await append(store, 'a', '0', '1', '2')
    const direction = 'backward'
    const first = await readJson(store, 'a', { from: 'end', direction, limit: 2 })
    const second = await readJson(store, 'a', { from: first.nextOffset, direction, limit: 2 })
    assert.equal(textsOf(first, second), ['2', '1', '0'])
    assert.equal([first.firstOffset, first.nextOffset, second.nextOffset], [2, 1, 0])
    const done = await readJson(store, 'a', { from: 0, direction })
    assert.equal([done.count, done.nextOffset], [0, 0])
  })

  test('maxBytes is not overshot, but a first record always comes', async store => {
    await append(store, 'a', 'aaaa', 'bbbb', 'cccc')
    assert.is((await read(store, { maxBytes: 8 })).count, 2)
    assert.is((await read(store, { maxBytes: 7 })).count, 1)
    assert.is((await read(store, { maxBytes: 1 })).count, 1)
    assert.is((await read(store, { maxBytes: 1, from: 'end', direction: 'backward' })).count, 1)
  })

  test('a read at the end is empty, and beyond it refused', async store => {
    await append(store, 'a', 'x')
    const page = await read(store, { from: 1 })
    assert.equal([page.count, page.firstOffset, page.nextOffset, page.closed], [0, 1, 1, false])
    const failure = await rejects(read(store, { from: 2 }), 'beyond_end')
    assert.is(failure.fields.nextOffset, 1)
  })

  test('the end of a closed stream is marked', async store => {
    await append(store, 'a', 'x')
    await store.closeStream('a')
    const page = await read(store, {})
    assert.equal([page.closed, page.nextOffset, page.tailOffset], [true, 1, 1])
  })

  test('since finds the first record at or after a time', async store => {
    const { timestamp } = await append(store, 'a', 'x', 'y')
    assert.is((await read(store, { since: timestamp })).firstOffset, 0)
    assert.is((await read(store, { since: 0 })).count, 2)
    const later = await read(store, { since: timestamp + 1 })
    assert.equal([later.count, later.firstOffset, later.nextOffset], [0, 2, 2])
  })

  test('hashes are shown from genesis and end at the chain head', async store => {
    await append(store, 'a', 'x', 'y')
    const { records } = await readJson(store, 'a', { verify: 'genesis', from: 1 })
    assert.is(records[0]?.hash, (await store.info('a')).chainHead)
    for (const verify of ['none', 'links'] as const) {
      assert.is((await readJson(store, 'a', { verify })).records[0]?.hash, undefined)
    }
  })

  test('a chain is verified whole and in part', async store => {
    const { chainHead } = await append(store, 'a', 'x', 'y', 'z')
    const whole = await store.verify('a', {})
    const { ok, verifiedRecords, from, to, failure } = whole
    assert.equal(
      { ok, verifiedRecords, from, to, failure },
      {
        ok: true,
        verifiedRecords: 3,
        from: 0,
        to: 3,
        failure: null,
      },
    )
    assert.is(whole.chainHead, chainHead)
    assert.is((await store.verify('a', { from: 1, to: 2 })).verifiedRecords, 1)
  })
}

function testSubscriptions(test: Define): void {
  test('a subscription has every record after its start, once and in order', async store => {
    await append(store, 'a', 'before')
    const listener = collect()
    const subscription = await store.subscribe('a', listener)
    assert.is(subscription.nextOffset, 1)
    for (let index = 0; index < 20; index += 1) await append(store, 'a', `${index}`, 'more')
    await listener.until(41)
    assert.equal(
      listener.offsets,
      Array.from({ length: 40 }, (_, index) => index + 1),
    )
    subscription.cancel()
  })

  test('a cancelled subscription hears nothing more', async store => {
    await append(store, 'a', 'x')
    const listener = collect()
    const other = collect()
    const subscription = await store.subscribe('a', listener)
    await store.subscribe('a', other)
    subscription.cancel()
    await append(store, 'a', 'y')
    await other.until(2)
    assert.equal(listener.offsets, [])
  })

  test('closing and deleting a stream ends its subscriptions', async store => {
    for (const reason of ['closed', 'deleted'] as const) {
      await append(store, reason, 'x')
      const listener = collect()
      await store.subscribe(reason, listener)
      await append(store, reason, 'y')
      if (reason === 'closed') await store.closeStream(reason)
      else await store.remove(reason)
      assert.is(await listener.ended, reason)
      assert.equal(listener.offsets, [1])
    }
  })

  test('a subscription to a closed stream ends at once', async store => {
    await append(store, 'a', 'x')
    await store.closeStream('a')
    const listener = collect()
    assert.is((await store.subscribe('a', listener)).nextOffset, 1)
    assert.is(await listener.ended, 'closed')
  })
}

function read(store: StreamStore, request: Partial<ReadRequest>) {
  return store.read('a', { ...READ, ...request })
}

async function readText(store: StreamStore, encoding: 'ndjson' | 'sse'): Promise<string> {
  return Buffer.from((await read(store, { encoding })).payload).toString()
}

function mixedBatch(): { batch: Buffer; count: number } {
  const items = [
    [RecordFormat.Binary, '', Buffer.from([0, 1, 255])],
    [RecordFormat.Json, '{"b":"c"}', Buffer.from('{"a": 1}')],
    [RecordFormat.Text, '', Buffer.from('é\n"')],
  ] as const
  const batch = Buffer.concat(
    items.map(([format, headers, body]) => {
      const header = Buffer.alloc(BATCH_ITEM_HEADER_BYTES)
      encodeBatchItemHeader(header, 0, format, headers.length, body.length)
      return Buffer.concat([header, Buffer.from(headers), body])
    }),
  )
  return { batch, count: items.length }
}
