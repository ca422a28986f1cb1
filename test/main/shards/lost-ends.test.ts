import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ShardedStore } from '../../../src/main/shards/sharded-store.ts'
import { StoreError } from '../../../src/shared/errors.ts'
import { shardOf } from '../../../src/shared/format/shard-of.ts'
import { zeroLastBlocks } from '../../support/journal-damage.ts'
import { ENGINE, openDirectory } from '../../support/open-store.ts'
import { withDirectory } from '../../support/server.ts'
import { batchOf } from '../../support/store-helpers.ts'

const lost = suite('main/shards/lost-ends')

const engine = { ...ENGINE, checkpointIntervalMs: 1e9 }
const NAMES = ['a', 'b', 'c', 'd', 'e', 'f']
const STREAMS = [0, 1].map(shard => NAMES.find(name => shardOf(name, 2) === shard) ?? '')

for (const shard of [0, 1]) {
  const role = shard === 0 ? 'decides it' : 'has only a part of it'
  lost(`a transaction whose blocks are lost in the shard that ${role} is not hidden`, async () => {
    await withDirectory(async data => {
      const copy = join(data, 'copy')
      await transact(join(data, 'store'), copy)
      zeroLastBlocks(join(copy, `journals/shard-0${shard}`))
      for (const start of ['first', 'second']) {
        const store = await openDirectory(copy, 2, { engine })
        try {
          const states = store.status().map(({ state }) => state)
          assert.is(states[shard], 'read_only', `at the ${start} start`)
          assert.match(store.status()[shard]?.detail ?? '', /by a transaction in the journal of/)
          assert.is(states[1 - shard], 'ready')
          assert.is(await codeOfRead(store, STREAMS[shard] ?? ''), 'shard_failed')
          assert.is(await codeOfRead(store, STREAMS[1 - shard] ?? ''), undefined)
        } finally {
          await store.close()
        }
      }
    })
  })
}

lost('a start after a mere crash refuses no journal', async () => {
  await withDirectory(async data => {
    const copy = join(data, 'copy')
    await transact(join(data, 'store'), copy)
    const store = await openDirectory(copy, 2, { engine })
    const states = store.status().map(({ state }) => state)
    await store.close()
    assert.equal(states, ['ready', 'ready'])
  })
})

async function codeOfRead(store: ShardedStore, stream: string): Promise<string | undefined> {
  try {
    await store.info(stream)
    return undefined
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    return error.code
  }
}

/** Leaves a copy of a store of two shards as a crash right behind a transaction leaves it. */
async function transact(data: string, copy: string): Promise<void> {
  mkdirSync(data)
  const store = await openDirectory(data, 2, { engine })
  await store.transact(STREAMS.map(stream => ({ stream, ...batchOf('t'), expectedOffset: 0 })))
  cpSync(data, copy, { recursive: true })
  rmSync(join(copy, 'lock'), { force: true })
  await store.close()
}

lost.run()
