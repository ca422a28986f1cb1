import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ShardedStore } from '../../../src/main/shards/sharded-store.ts'
import type { Durability } from '../../../src/shared/protocol/streams.ts'
import { ENGINE, openDirectory, openStore } from '../../support/open-store.ts'
import { encodeTexts } from '../../support/simulated-shard.ts'

const NEVER_MS = 3_600_000

const durability = suite('main/shards/durability')

durability('a barrier makes relaxed appends durable, on every shard', async () => {
  const store = await openStore(2, { engine: { ...ENGINE, relaxedFlushMs: NEVER_MS } })
  const streams = ['a', 'b', 'c', 'd']
  const answers = await Promise.all(streams.map(stream => append(store, stream, 'relaxed')))
  assert.equal(
    answers.map(({ durable, durability: as }) => [durable, as]),
    streams.map(() => [false, 'relaxed']),
  )
  await store.barrier()
  const infos = await Promise.all(streams.map(stream => store.info(stream)))
  assert.equal(
    infos.map(({ nextOffset }) => nextOffset),
    [1, 1, 1, 1],
  )
  await store.close()
})

durability('group appends wait for as many as the bound says', async () => {
  const engine = { ...ENGINE, flushDelayMs: NEVER_MS, flushOperationsMax: 3 }
  const store = await openStore(1, { engine })
  const answers = await Promise.all([1, 2, 3].map(() => append(store, 's', 'group')))
  assert.equal(
    answers.map(({ durable }) => durable),
    [true, true, true],
  )
  await store.close()
})

durability('an immediate append takes the group appends that wait along', async () => {
  const store = await openStore(1, { engine: { ...ENGINE, flushDelayMs: NEVER_MS } })
  const waiting = append(store, 's', 'group')
  const immediate = await append(store, 's', 'immediate')
  assert.equal([immediate.firstOffset, immediate.durable], [1, true])
  assert.equal((await waiting).durable, true)
  await store.close()
})

durability('a clean stop makes relaxed appends durable', async () => {
  const data = mkdtempSync(join(tmpdir(), 'varve-'))
  const engine = { ...ENGINE, relaxedFlushMs: NEVER_MS }
  const store = await openDirectory(data, 1, { engine })
  assert.is((await append(store, 's', 'relaxed')).durable, false)
  await store.close()
  const again = await openDirectory(data, 1, { engine })
  assert.is((await again.info('s')).nextOffset, 1)
  await again.close()
  rmSync(data, { recursive: true })
})

function append(store: ShardedStore, stream: string, as: Durability) {
  return store.append({ stream, batch: encodeTexts(['x']), count: 1, durability: as })
}

durability.run()
