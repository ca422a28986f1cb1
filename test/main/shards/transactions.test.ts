import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StoreError } from '../../../src/shared/errors.ts'
import { KIB } from '../../../src/shared/limits.ts'
import { openStore } from '../../support/open-store.ts'
import { encodeTexts } from '../../support/simulated-shard.ts'

const transactions = suite('main/shards/transactions')

transactions('what spans shards is there in all of them when it is answered', async () => {
  const store = await openStore(4)
  const streams = ['a', 'b', 'c', 'd', 'e', 'f']
  const { transactionId, appends } = await store.transact(streams.map(stream => append(stream)))
  const tails = await Promise.all(
    streams.map(async stream => (await store.info(stream)).nextOffset),
  )
  await store.close()
  assert.match(transactionId, /^[0-9a-f]{16}$/)
  assert.equal(
    appends.map(({ stream, firstOffset, nextOffset }) => [stream, firstOffset, nextOffset]),
    streams.map(stream => [stream, 0, 1]),
  )
  assert.equal(tails, [1, 1, 1, 1, 1, 1])
})

transactions('100 at a time over 8 shards all end, and each is whole', async () => {
  const store = await openStore(8)
  const streams = Array.from({ length: 12 }, (_, count) => `s${count}`)
  const runs = Array.from({ length: 100 }, (_, count) => {
    const named = [0, 1, 2, 3].map(step => streams[(count * 5 + step * (1 + (count % 3))) % 12])
    return store.transact([...new Set(named)].map(stream => append(stream as string)))
  })
  const done = await Promise.all(runs)
  const tails = await Promise.all(
    streams.map(async stream => (await store.info(stream)).nextOffset),
  )
  await store.close()
  const counted = streams.map(
    stream => done.flatMap(({ appends }) => appends).filter(part => part.stream === stream).length,
  )
  assert.equal(tails, counted)
})

transactions('large appends between transactions on their stream are answered', async () => {
  const store = await openStore(2)
  const large = encodeTexts(['x'.repeat(400 * KIB)])
  const streams = ['a', 'b', 'c', 'd']
  await store.transact(streams.map(stream => append(stream)))
  for (let round = 0; round < 10; round += 1) {
    const runs = [0, 1, 2].flatMap(() => [
      store.transact(streams.map(stream => append(stream))),
      store.append({ stream: 'a', batch: Buffer.from(large), count: 1 }),
    ])
    await Promise.all(runs)
  }
  const { nextOffset } = await store.info('a')
  await store.close()
  assert.is(nextOffset, 61)
})

transactions('the first append of the request that cannot be is named', async () => {
  const store = await openStore(4)
  await store.transact(['a', 'b', 'c', 'd'].map(stream => append(stream)))
  const wrong = [append('a', 1), append('d', 7), append('c', 8), append('b', 9), append('new')]
  const error = await store.transact(wrong).catch((caught: unknown) => caught)
  const { nextOffset } = await store.info('a')
  const { streams } = await store.list({ prefix: '', after: '', limit: 10 })
  await store.close()
  assert.instance(error, StoreError)
  const { code, fields } = error as StoreError
  assert.equal([code, fields['stream'], fields['outcome']], ['offset_mismatch', 'd', 'not_applied'])
  assert.equal([nextOffset, streams.length], [1, 4])
})

function append(stream: string, expectedOffset?: number) {
  const batch = encodeTexts([`of ${stream}`])
  return { stream, batch, count: 1, ...(expectedOffset !== undefined && { expectedOffset }) }
}

transactions.run()
