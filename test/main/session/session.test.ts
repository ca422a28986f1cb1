import { once } from 'node:events'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryStore, until } from '../../support/memory-store.ts'
import { Random } from '../../support/random.ts'
import {
  type BinaryAnswer,
  binaryRequest,
  type SessionClient,
  type TextAnswer,
} from '../../support/session-client.ts'
import { withSessions } from '../../support/session-server.ts'
import { HeldStore, LateStore } from '../../support/session-stores.ts'
import { batchOf } from '../../support/store-helpers.ts'

const session = suite('main/session/session')
const IN_FLIGHT = { sessionInFlightMax: 4 }

session('answers come in the order of the requests, whatever each takes', async () => {
  const seed = Date.now()
  const random = new Random(seed)
  await withSessions(new LateStore(random), async ({ open }) => {
    const client = await open()
    for (let id = 0; id < 500; id += 1) sendAny(client, id, random)
    await client.until(500)
    assert.equal(client.ids, numbers(500), `seed ${seed}`)
  })
})

session('appends to one stream are applied in the order of the requests', async () => {
  const seed = Date.now()
  const random = new Random(seed)
  await withSessions(
    new LateStore(random),
    async ({ open }) => {
      const client = await open()
      for (let id = 0; id < 300; id += 1) client.append(id, `s${id % 3}`)
      await client.until(300)
      const offsets = client.answers.map(answer => (answer as TextAnswer).ok?.firstOffset)
      const expected = numbers(300).map(id => Math.floor(id / 3))
      assert.equal(offsets, expected, `seed ${seed}`)
    },
    { sessionInFlightMax: 7 },
  )
})

session('no more than the bound is asked of the store, and the socket is not read', async () => {
  const store = new HeldStore()
  await withSessions(
    store,
    async ({ open, connections, whenMetric }) => {
      const client = await open()
      for (let id = 0; id < 100; id += 1) client.append(id, 'a')
      await whenMetric('varve_session_pauses_total 1')
      assert.equal([store.asked.length, connections[0]?.isPaused()], [4, true])
      await whenMetric('varve_session_unanswered 4')
      store.release()
      await until(() => store.asked.length === 5)
      assert.equal([store.held, client.answers.length <= 1], [4, true])
      store.open()
      await client.until(100)
    },
    IN_FLIGHT,
  )
  assert.is(store.most, 4)
})

session('the socket is read again when answers went out', async () => {
  const store = new HeldStore()
  await withSessions(
    store,
    async ({ open, connections }) => {
      const client = await open()
      for (let id = 0; id < 4; id += 1) client.append(id, 'a')
      await until(() => connections[0]?.isPaused() === true)
      store.release()
      await until(() => connections[0]?.isPaused() === false)
      store.open()
      client.append(4, 'a')
      await client.until(5)
      assert.equal(client.ids, numbers(5))
    },
    IN_FLIGHT,
  )
})

session('an answer that is ready waits for those before it', async () => {
  const store = new HeldStore()
  await withSessions(store, async ({ open, whenMetric }) => {
    const client = await open()
    client.append(1, 'a')
    client.text('no JSON')
    client.append(2, 'a//b')
    await whenMetric('varve_session_unanswered 3')
    assert.is(client.answers.length, 0)
    store.release()
    await client.until(3)
    assert.equal(client.ids, [1, null, 2])
  })
})

session('answers that nobody reads stop the reading of requests', () =>
  withSessions(
    new MemoryStore(),
    async ({ open, connections }) => {
      const client = await open()
      client.socket.pause()
      let sent = 0
      await until(() => {
        for (let count = 0; count < 50; count += 1) client.append(sent++, 'a')
        return connections[0]?.isPaused() === true
      })
      const waiting = connections[0]?.writableLength ?? 0
      assert.ok(waiting > 0 && waiting < 1024 * 1024, `${waiting} bytes`)
      client.socket.resume()
      await client.until(sent)
      assert.equal(client.ids, numbers(sent))
    },
    { sessionInFlightMax: 100_000 },
  ),
)

session('what is in flight is charged to the budget, and given back', async () => {
  const store = new HeldStore()
  await withSessions(store, async ({ open, whenMetric }) => {
    const client = await open()
    const { batch } = batchOf('x'.repeat(1000))
    for (let id = 0; id < 3; id += 1) client.binary({ id, stream: 'a', batch })
    await whenMetric(`varve_request_body_bytes ${3 * (16 + 1 + batch.length)}`)
    store.open()
    await client.until(3)
    await whenMetric('varve_request_body_bytes 0')
  })
})

session('a session waits for budget that it holds itself', async () => {
  const store = new HeldStore()
  await withSessions(
    store,
    async ({ open, connections }) => {
      const client = await open()
      const { batch } = batchOf('x'.repeat(1000))
      for (let id = 0; id < 9; id += 1) client.binary({ id, stream: 'a', batch })
      await until(() => connections[0]?.isPaused() === true)
      assert.is(store.asked.length, 2)
      store.open()
      await client.until(9)
      assert.ok(client.answers.every(answer => (answer as BinaryAnswer).status === 200))
    },
    { requestBytesMax: 1100, bodyBudgetBytes: 2200 },
  )
})

session('no session has more than its share of the budget in flight', async () => {
  const store = new HeldStore()
  await withSessions(store, async ({ open, connections }) => {
    const client = await open()
    const { batch } = batchOf('x'.repeat(6_000_000))
    for (let id = 0; id < 4; id += 1) client.binary({ id, stream: 'a', batch })
    await until(() => connections[0]?.isPaused() === true)
    assert.is(store.asked.length, 2)
    store.open()
    await client.until(4)
    assert.equal(client.ids, numbers(4))
  })
})

session('a session is told when others hold the budget', async () => {
  const store = new HeldStore()
  await withSessions(
    store,
    async ({ open }) => {
      const [first, second] = [await open(), await open()]
      const { batch } = batchOf('x'.repeat(1000))
      for (let id = 0; id < 2; id += 1) first.binary({ id, stream: 'a', batch })
      await until(() => store.held === 2)
      second.binary({ id: 7, stream: 'a', batch, flags: 8 })
      const { id, status, problem } = (await second.answer(0)) as BinaryAnswer
      assert.equal([id, status, problem?.code], [7, 503, 'overloaded'])
      assert.equal([problem?.outcome, problem?.retryable], ['not_applied', true])
      store.open()
      await first.until(2)
    },
    { requestBytesMax: 1100, bodyBudgetBytes: 2200 },
  )
})

session('a message is charged while it arrives, and refused where there is no room', () =>
  withSessions(
    new MemoryStore(),
    async ({ open, whenMetric }) => {
      const [patient, greedy] = [await open(), await open()]
      patient.socket.send(Buffer.alloc(1000), { fin: false })
      await whenMetric('varve_request_body_bytes 1008')
      greedy.socket.send(Buffer.alloc(1000), { fin: false })
      assert.is(await greedy.closed, 4000 + 503 - 400)
      patient.socket.send(batchOf('x').batch, { fin: true })
      assert.is(((await patient.answer(0)) as BinaryAnswer).status, 400)
      await whenMetric('varve_request_body_bytes 0')
    },
    { requestBytesMax: 1500, bodyBudgetBytes: 2000 },
  ),
)

session('pings are answered, and never add up', () =>
  withSessions(new MemoryStore(), async ({ open, whenMetric }) => {
    const client = await open()
    for (let sent = 0; sent < 100; sent += 1) {
      client.socket.ping('x'.repeat(sent))
      await once(client.socket, 'pong')
    }
    await whenMetric('varve_request_body_bytes 0')
    client.append(1, 'a')
    assert.is((await client.answer(0)).id, 1)
  }),
)

session('a connection that is cut leaves nothing behind', async () => {
  const store = new HeldStore()
  await withSessions(
    store,
    async ({ open, whenMetric }) => {
      const client = await open()
      for (let id = 0; id < 50; id += 1) client.append(id, 'a')
      await until(() => store.held === 4)
      client.socket.terminate()
      store.open()
      await whenMetric('varve_sessions 0')
      await whenMetric('varve_request_body_bytes 0')
      await whenMetric('varve_session_unanswered 0')
      assert.is((await store.info('a')).nextOffset, store.asked.length)
    },
    IN_FLIGHT,
  )
})

session('a stop answers what is in flight, refuses what waits, and says goodbye', async () => {
  const store = new HeldStore()
  await withSessions(
    store,
    async ({ server, open, connections }) => {
      const client = await open()
      for (let id = 0; id < 9; id += 1) client.append(id, 'a')
      await until(() => connections[0]?.isPaused() === true)
      const closed = server.close()
      store.open()
      assert.is(await client.closed, 1001)
      await closed
      const ok = client.answers.filter(answer => 'ok' in answer).length
      assert.equal([ok, store.asked.length], [4, 4])
      for (const { error } of client.answers.slice(4) as TextAnswer[]) {
        assert.equal([error?.code, error?.outcome], ['shutting_down', 'not_applied'])
      }
      assert.equal(client.ids, numbers(client.answers.length))
    },
    IN_FLIGHT,
  )
})

session('no message ends a session that has an id to answer with', async () => {
  const seed = Date.now()
  const random = new Random(seed)
  await withSessions(new MemoryStore(), async ({ open }) => {
    const client = await open()
    for (let id = 0; id < 2000; id += 1) {
      const message = binaryRequest({ id, stream: 'a', batch: batchOf('x').batch })
      for (let flips = random.below(4); flips > 0; flips -= 1) {
        message[4 + random.below(message.length - 4)] = random.below(256)
      }
      client.binary(message.subarray(0, 16 + random.below(message.length - 15)))
    }
    await client.until(2000)
    assert.equal(client.ids, numbers(2000), `seed ${seed}`)
  })
})

/** One of what a client may send, and must be answered with its id. */
function sendAny(client: SessionClient, id: number, random: Random): void {
  const stream = `s${random.below(3)}`
  const { batch } = batchOf(String(id))
  switch (random.below(5)) {
    case 0:
      return client.binary({ id, stream, batch })
    case 1:
      return client.binary({ id, stream, batch: Buffer.alloc(3) })
    case 2:
      return client.append(id, stream, { op: 'other' })
    case 3:
      return client.append(id, stream, { expectedOffset: 1_000_000 })
    default:
      return client.append(id, stream)
  }
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index)
}

session.run()
