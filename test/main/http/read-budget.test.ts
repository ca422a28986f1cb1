import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Lease, ReadBudget } from '../../../src/main/http/read-budget.ts'
import { MIB } from '../../../src/shared/limits.ts'
import { withServer } from '../../support/http-server.ts'
import { get, RawClient } from '../../support/raw-client.ts'

const reads = suite('main/http/read-budget')

reads(
  'what is taken stays taken until it is given back, and then goes to who waits first',
  async () => {
    const budget = new ReadBudget(10, MIB)
    const first = await budget.take(7, STAYS)
    const order: string[] = []
    const second = note(budget.take(6, STAYS), () => order.push('second'))
    const third = note(budget.take(1, STAYS), () => order.push('third'))
    assert.equal([budget.used, budget.waiting], [7, 2])
    first.resize(3)
    await Promise.all([second, third])
    assert.equal([order.join(), budget.used], ['second,third', 10])
    first.release()
    first.release()
    assert.is(budget.used, 7)
  },
)

reads('large reads leave room to small ones, and wait behind none of them', async () => {
  const budget = new ReadBudget(8 * MIB, MIB)
  const large = await budget.take(6 * MIB, STAYS)
  assert.is(budget.tryTake(2 * MIB), undefined)
  assert.ok(budget.tryTake(MIB) !== undefined)
  const waiting = budget.take(4 * MIB, STAYS)
  assert.ok(budget.tryTake(MIB) !== undefined)
  large.release()
  await waiting
  assert.is(budget.used, 6 * MIB)
})

reads('a read of more than there is takes what there is, alone', async () => {
  const budget = new ReadBudget(8 * MIB, MIB)
  const all = await budget.take(64 * MIB, STAYS)
  assert.is(budget.used, 6 * MIB)
  all.resize(99 * MIB)
  assert.is(budget.tryTake(2 * MIB), undefined)
  assert.ok(budget.tryTake(MIB) !== undefined, 'small reads have their share')
  all.release()
  assert.ok(budget.tryTake(2 * MIB) !== undefined)
})

reads('who goes, or waits for too long, gives up its turn to those behind', async () => {
  const budget = new ReadBudget(10, MIB)
  await budget.take(7, STAYS)
  const gone = new AbortController()
  const first = code(budget.take(6, gone.signal))
  const second = code(budget.take(6, STAYS, 5))
  const third = budget.take(3, STAYS)
  gone.abort()
  assert.equal(await Promise.all([first, second]), ['overloaded', 'overloaded'])
  await third
  assert.equal([budget.used, budget.waiting], [10, 0])
  assert.is(await code(budget.take(1, gone.signal)), 'overloaded')
})

reads('pages that are not taken hold the budget, and their client gives it back by going', () =>
  withServer(
    async ({ url, append, read, store, whenMetric }) => {
      const text = 'x'.repeat(MIB)
      for (let count = 0; count < 12; count += 1) await append('a', 'text/plain', text)
      const clients = Array.from({ length: 4 }, () => new RawClient(url))
      for (const client of clients) {
        client.socket.pause()
        client.send(get(`/v1/streams/a/records?maxBytes=${12 * MIB}`))
      }
      await whenMetric('varve_reads_waiting 3')
      let readsBegun = 0
      const begin = store.read.bind(store)
      store.read = (stream, request) => {
        readsBegun += 1
        return begin(stream, request)
      }
      assert.is((await read('a', '?limit=1')).status, 200)
      for (const { socket } of clients) socket.destroy()
      await whenMetric('varve_reads_waiting 0')
      await whenMetric('varve_read_page_bytes 0')
      assert.ok(readsBegun <= 2, `${readsBegun} reads`)
    },
    { readBudgetBytes: 16 * MIB, recordBytesMax: MIB },
  ),
)

const STAYS = new AbortController().signal

async function note(lease: Promise<Lease>, onTaken: () => void): Promise<void> {
  await lease
  onTaken()
}

async function code(lease: Promise<Lease>): Promise<string> {
  return lease.then(
    () => 'taken',
    (error: unknown) => (error as { code: string }).code,
  )
}

reads.run()
