import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ShardedStore } from '../../src/main/shards/sharded-store.ts'
import { StoreError } from '../../src/shared/errors.ts'
import { newestCopyPath, newestPath } from '../../src/shared/format/paths.ts'
import { openDirectory } from '../support/open-store.ts'
import { withDirectory } from '../support/server.ts'
import { append, READ } from '../support/store-helpers.ts'

const refused = suite('integrity/refused-journal')

refused('a shard with a refused journal hides nothing, start after start', async () => {
  await withDirectory(async data => {
    await fill(data)
    for (const path of [newestPath(0), newestCopyPath(0)]) rmSync(join(data, path))
    for (let start = 0; start < 2; start += 1) {
      const store = await openDirectory(data, 1)
      assert.is(store.status()[0]?.state, 'read_only')
      await checkAnswers(store)
      await store.close()
    }
  })
})

refused('the other shards of a store go on beside it', async () => {
  await withDirectory(async data => {
    const store = await openDirectory(data, 2)
    for (const stream of ['a', 'b', 'c', 'd']) await append(store, stream, '1', '2', '3')
    await store.close()
    for (const path of [newestPath(0), newestCopyPath(0)]) rmSync(join(data, path))
    const opened = await openDirectory(data, 2)
    const answers = await Promise.all(['a', 'b', 'c', 'd'].map(name => codeOf(opened.info(name))))
    assert.equal([...new Set(answers)].sort(), ['ok', 'shard_failed'])
    assert.is(await codeOf(opened.list({ prefix: '', after: '', limit: 10 })), 'shard_failed')
    await opened.close()
  })
})

/** One stream of three records, all of them stored. */
async function fill(data: string): Promise<void> {
  const store = await openDirectory(data, 1)
  await append(store, 'orders', '1', '2', '3')
  await store.close()
}

async function checkAnswers(store: ShardedStore): Promise<void> {
  const page = await store.read('orders', { ...READ, limit: 3 })
  assert.is(page.count, 3)
  assert.is((await store.verify('orders', { from: 0, to: 3 })).ok, true)
  const listener = { onRecords: () => undefined, onEnd: () => undefined }
  const hidden: Promise<unknown>[] = [
    store.read('orders', { ...READ, limit: 4 }),
    store.read('orders', { ...READ, from: 3, limit: 1 }),
    store.read('orders', { ...READ, from: 9, limit: 1 }),
    store.read('other', { ...READ, limit: 1 }),
    store.info('orders'),
    store.info('other'),
    store.list({ prefix: '', after: '', limit: 10 }),
    store.verify('orders', {}),
    store.verify('orders', { to: 4 }),
    store.checkpoints('orders', { from: 0, limit: 10 }),
    store.subscribe('orders', listener),
    append(store, 'orders', '4'),
    append(store, 'other', '1'),
  ]
  const codes = await Promise.all(hidden.map(codeOf))
  assert.equal(
    codes,
    Array.from(hidden, () => 'shard_failed'),
  )
}

async function codeOf(answer: Promise<unknown>): Promise<string> {
  try {
    await answer
    return 'ok'
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    return error.code
  }
}

refused.run()
