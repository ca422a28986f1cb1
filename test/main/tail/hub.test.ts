import { getEventListeners } from 'node:events'
import { ReadBudget } from '../../../src/main/http/read-budget.ts'
import { MIB, STREAM_CONFIG_DEFAULT } from '../../../src/shared/limits.ts'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type FanOut, Feed, type Follower } from '../../../src/main/tail/feed.ts'
import type { StreamListener } from '../../../src/main/store.ts'
import type { StoreError } from '../../../src/shared/errors.ts'
import { Hub } from '../../../src/main/tail/hub.ts'
import { Subscription } from '../../../src/main/tail/subscription.ts'
import { FakeSink } from '../../support/fake-sink.ts'
import { MemoryStore, until } from '../../support/memory-store.ts'
import { Random } from '../../support/random.ts'
import { batchOf } from '../../support/store-helpers.ts'
import { UnevenStore } from '../../support/uneven-store.ts'

const hub = suite('main/tail/hub')
const NEVER_MS = 1_000_000

hub('one subscription at the store serves every subscriber of a stream', async () => {
  const store = new UnevenStore(() => 0)
  await store.append({ stream: 'a', ...batchOf('x') })
  const hub = new Hub(store, () => 0, 100)
  const seats = await Promise.all(Array.from({ length: 10 }, () => hub.join('a')))
  assert.equal([store.subscriptions, hub.subscribers], [1, 10])
  for (const { leave } of seats) leave()
  seats[0]?.leave()
  await until(() => store.watches === 0)
  assert.is(hub.subscribers, 0)
  await hub.join('a')
  assert.is(store.subscriptions, 2)
})

hub(
  'a stream that does not exist is refused to all who ask, and later asked for again',
  async () => {
    const store = new MemoryStore()
    const hub = new Hub(store, () => 0, 100)
    const refused = await Promise.allSettled([hub.join('a'), hub.join('a')])
    assert.equal(
      refused.map(({ status }) => status),
      ['rejected', 'rejected'],
    )
    assert.is(hub.subscribers, 0)
    await store.append({ stream: 'a', ...batchOf('x') })
    assert.is((await hub.join('a')).feed.position, 1)
  },
)

hub('a fan-out is rendered once a format', async () => {
  const { feed, fanOuts } = await followedFeed(2)
  const [first, second] = fanOuts
  assert.is(first?.message('json', 0), second?.message('json', 0))
  assert.is(first?.message('batch', 0), second?.message('batch', 0))
  const later = JSON.parse(String(first?.message('json', 1))) as { records: unknown[] }
  assert.is(later.records.length, 1)
  assert.is(feed.position, 2)
})

hub('what arrives while a fan-out is awaited goes out with it', async () => {
  const clock = { now: 0 }
  const { feed, fanOuts, push } = await followedFeed(1, clock, () => {
    clock.now += 20
  })
  push()
  push()
  assert.is(fanOuts.length, 1)
  clock.now += 100
  await until(() => feed.position === 6)
  assert.equal(
    fanOuts.map(({ cursor }) => cursor.nextOffset),
    [2, 6],
  )
})

hub('records that are too many to keep are announced without their bytes', async () => {
  const { feed, fanOuts } = await followedFeed(1, undefined, undefined, 'x'.repeat(2_500_000))
  assert.is(feed.position, 2)
  assert.is(fanOuts[0]?.message('json', 0), null)
})

hub('subscribers of every speed have every record once and in order', async () => {
  for (let round = 0; round < 20; round += 1) {
    const seed = Math.floor(Math.random() * 2 ** 31)
    await followUnevenly(seed).catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error })
    })
  }
})

hub('long polls leave nothing behind while another follower keeps the feed', async () => {
  const store = new MemoryStore()
  await store.append({ stream: 'a', ...batchOf('x') })
  const hub = new Hub(store, () => 0, 100)
  const { feed } = await hub.join('a') // stays
  const { signal } = new AbortController() // of a connection that stays
  for (let offset = 1; offset < 10; offset += 1) {
    const polls = [1, 2, 3].map(() => hub.waitFor('a', offset, signal))
    await until(() => feed.followers === 3)
    await store.append({ stream: 'a', ...batchOf('x') })
    await Promise.all(polls)
  }
  const cancelled = new AbortController()
  const poll = hub.waitFor('a', 10, cancelled.signal)
  await until(() => feed.followers === 1)
  cancelled.abort()
  await poll
  const listeners = [signal, cancelled.signal].map(of => getEventListeners(of, 'abort').length)
  assert.equal([feed.followers, hub.subscribers, listeners], [0, 1, [0, 0]])
})

hub('a long poll ends when the shard of its stream stops', async () => {
  const store = new MemoryStore()
  await store.append({ stream: 'a', ...batchOf('x') })
  const hub = new Hub(store, () => 0, 100)
  const poll = hub.waitFor('a', 1, new AbortController().signal)
  await until(() => hub.subscribers === 1 && store.watches === 1)
  await turn()
  store.failSubscriptions()
  await poll
  assert.is(hub.subscribers, 0)
})

hub('subscribers who take nothing hold no more than their budget together', async () => {
  const store = new MemoryStore()
  for (let sent = 0; sent < 20; sent += 1) {
    await store.append({ stream: 'a', ...batchOf('x'.repeat(100_000)) })
  }
  const budget = new ReadBudget(MIB, MIB)
  const hub = new Hub(store, () => 0, 100, budget)
  const sinks = await Promise.all(Array.from({ length: 10 }, () => follow(hub, store)))
  await until(() => budget.waiting === 2) // the others wait for these two
  const sum = sinks.reduce((bytes, { bufferedBytes }) => bytes + bufferedBytes, 0)
  assert.is(sum, budget.used)
  assert.ok(sum <= MIB, `${sum} bytes wait`)
  await until(() => {
    for (const sink of sinks) sink.drain()
    return sinks.every(({ said }) => said.includes('live'))
  })
  for (const { offsets } of sinks) assert.is(offsets.length, 20)
  assert.equal([budget.used, budget.waiting], [0, 0])
  hub.close() // or their heartbeats would keep this process
})

hub('a tail that is opened after a recreation never has the deleted stream', async () => {
  const store = new LateEnds()
  await store.append({ stream: 'a', ...batchOf('old', 'old', 'old') })
  const hub = new Hub(store, () => 0, 100)
  const before = await follow(hub, store)
  await until(() => before.said.includes('live'))
  await store.remove('a')
  await store.append({ stream: 'a', ...batchOf('new') })
  const after = await follow(hub, store)
  await until(() => after.said.length > 0)
  assert.equal([after.offsets, after.failure], [[0], undefined])
  assert.is((before.failure as StoreError).code, 'stream_deleted')
  store.announceEnds()
  await store.append({ stream: 'a', ...batchOf('newer') })
  await until(() => after.offsets.length === 2)
  assert.equal([after.said, hub.subscribers], [['live'], 1])
  hub.close() // or its heartbeat would keep this process
})

hub('a tail that catches up ends when another stream has the name', async () => {
  const store = new LateEnds()
  await store.append({ stream: 'a', ...batchOf('old') })
  const hub = new Hub(store, () => 0, 100)
  const subscription = await Subscription.open(hub, store, 'a', { from: 'start' })
  await store.remove('a')
  await store.append({ stream: 'a', ...batchOf('new', 'new') })
  const sink = new FakeSink()
  subscription.start(sink, NEVER_MS)
  await until(() => sink.said.length > 0)
  assert.equal([sink.offsets, (sink.failure as StoreError).code], [[], 'stream_deleted'])
  assert.is(hub.subscribers, 0)
})

/** A store whose announcements of ends are overtaken by all its answers. */
class LateEnds extends MemoryStore {
  #late: (() => void)[] = []

  override subscribe(name: string, listener: StreamListener) {
    return super.subscribe(name, {
      onRecords: chunk => listener.onRecords(chunk),
      onEnd: reason => this.#late.push(() => listener.onEnd(reason)),
    })
  }

  announceEnds(): void {
    for (const announce of this.#late.splice(0)) announce()
  }
}

async function followUnevenly(seed: number): Promise<void> {
  const source = new Random(seed)
  const random = () => source.next()
  const store = new UnevenStore(random)
  const budget = new ReadBudget(random() < 0.5 ? MIB : 64 * MIB, MIB)
  const hub = new Hub(store, () => performance.now(), 100, budget)
  await store.append({ stream: 'a', ...batchOf('first') })
  const sinks: FakeSink[] = []
  for (let sent = 1; sent < 100; sent += 1) {
    await store.append({ stream: 'a', ...batchOf('x'.repeat(random() * 100_000)) })
    if (sent % 20 === 0) sinks.push(await follow(hub, store))
    for (const sink of sinks) if (random() < 0.2) sink.drain()
    if (random() < 0.5) await turn()
  }
  await store.closeStream('a')
  await until(() => {
    for (const sink of sinks) sink.drain()
    return sinks.every(({ said }) => said.includes('closed') || said.includes('failed'))
  })
  for (const { offsets, said, bufferedMost } of sinks) {
    assert.equal(
      offsets,
      Array.from({ length: 100 }, (_, offset) => offset),
    )
    assert.equal(said, ['live', 'closed'])
    assert.ok(bufferedMost <= 1024 * 1024, `${bufferedMost} bytes waited`)
  }
  assert.equal([hub.subscribers, budget.used, budget.waiting], [0, 0, 0])
}

async function follow(hub: Hub, store: MemoryStore): Promise<FakeSink> {
  const sink = new FakeSink()
  const subscription = await Subscription.open(hub, store, 'a', { from: 'start' })
  subscription.start(sink, NEVER_MS)
  return sink
}

/** A feed that was given one chunk of two records, and the fan-outs that its followers had. */
async function followedFeed(
  followers: number,
  clock = { now: 0 },
  onFanOut: () => void = () => undefined,
  text = 'x',
) {
  const store = new MemoryStore()
  await store.create('a', STREAM_CONFIG_DEFAULT)
  const feed = new Feed(
    () => clock.now,
    () => undefined,
  )
  const { nextOffset, streamId } = await store.subscribe('a', feed)
  feed.begin(nextOffset, streamId)
  const fanOuts: FanOut[] = []
  for (let added = 0; added < followers; added += 1) feed.add(recorder(fanOuts, onFanOut))
  const push = () => void store.append({ stream: 'a', ...batchOf(text, text) })
  push()
  await until(() => feed.position === 2)
  return { feed, fanOuts, push }
}

function recorder(fanOuts: FanOut[], onFanOut: () => void): Follower {
  return {
    isLive: true,
    position: 0,
    onFanOut: fanOut => {
      fanOuts.push(fanOut)
      onFanOut()
    },
    onEnd: () => undefined,
  }
}

function turn(): Promise<void> {
  return new Promise(resolve => {
    setImmediate(resolve)
  })
}

hub.run()
