import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ShardedStore } from '../../../src/main/shards/sharded-store.ts'
import type { StoreError } from '../../../src/shared/errors.ts'
import { openStore } from '../../support/open-store.ts'
import { encodeTexts } from '../../support/simulated-shard.ts'
import { eventually, failureOf, READ } from '../../support/store-helpers.ts'

const client = suite('main/shards/shard-client')

client(
  'a thread that dies of a defect is started again, and nothing answered is lost',
  async () => {
    let starts = 0
    const store = await openStore(1, {
      onOpened: () => {
        starts += 1
      },
    })
    await append(store, 'kept')
    const refused = await meetDefect(store)
    assert.equal([refused.code, refused.fields['outcome']], ['shard_failed', 'unknown'])
    await eventually(async () => starts >= 2) // the refusal may come before the death
    await untilReady(store)
    await append(store, 'after')
    assert.equal(await texts(store), ['kept', 'after'])
    await store.close()
  },
)

client('appends of one turn travel together and keep their order', async () => {
  const store = await openStore(1)
  const results = await Promise.all(['a', 'b', 'c'].map(text => append(store, text)))
  assert.equal(
    results.map(({ firstOffset }) => firstOffset),
    [0, 1, 2],
  )
  assert.equal(await texts(store), ['a', 'b', 'c'])
  await store.close()
})

client(
  'more bytes than may be on their way are refused, and nothing of them is stored',
  async () => {
    const store = await openStore(1)
    const large = 'x'.repeat(40 * 1024 * 1024)
    const [first, second] = await Promise.allSettled([append(store, large), append(store, large)])
    assert.is(first.status, 'fulfilled')
    const { code, fields } = (second as PromiseRejectedResult).reason as StoreError
    assert.equal([code, fields['outcome']], ['overloaded', 'not_applied'])
    await store.close()
  },
)

client('a closed store takes no new work', async () => {
  const store = await openStore(1)
  await store.close()
  const { code, fields } = await failureOf(append(store, 'late'))
  assert.equal([code, fields['outcome']], ['shutting_down', 'not_applied'])
})

function append(store: ShardedStore, text: string) {
  return store.append({ stream: 's', batch: encodeTexts([text]), count: 1 })
}

/** A batch that says one record and holds two: no front end sends it. */
function meetDefect(store: ShardedStore): Promise<StoreError> {
  return failureOf(store.append({ stream: 's', batch: encodeTexts(['x', 'y']), count: 1 }))
}

async function untilReady(store: ShardedStore): Promise<void> {
  for (let tries = 0; tries < 500; tries += 1) {
    await new Promise(done => {
      setTimeout(done, 10)
    })
    if (tries > 5 && store.status().every(({ state }) => state === 'ready')) return
  }
  throw new Error('the shard was not started again')
}

async function texts(store: ShardedStore): Promise<string[]> {
  const { payload } = await store.read('s', { ...READ, encoding: 'json', verify: 'genesis' })
  const records = JSON.parse(`[${Buffer.from(payload).toString()}]`) as { text: string }[]
  return records.map(({ text }) => text)
}

client.run()
