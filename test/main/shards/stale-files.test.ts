import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { requestRebuild } from '../../../src/main/shards/stale-files.ts'
import type { ShardClient } from '../../../src/main/shards/shard-client.ts'
import { StoreError } from '../../../src/shared/errors.ts'
import type { ShardRequest } from '../../../src/shared/protocol/shard.ts'

type Owner = Pick<ShardClient, 'query'>

const PLAN = { stream: 's', streamId: 'i'.repeat(16) }
const STALE = {
  isManifestStale: true,
  staleIndex: { segment: 3, firstOffset: 30, bytes: 300 },
}

const stale = suite('main/shards/stale-files')

stale('what a read found stale is asked for by the id of the stream that was read', async () => {
  const asked: unknown[] = []
  const query = (request: ShardRequest) => {
    asked.push(request)
    return Promise.resolve(undefined)
  }
  await requestRebuild({ query } as Owner, PLAN, STALE)
  assert.equal(asked, [
    { kind: 'relist', ...PLAN },
    { kind: 'reindex', ...PLAN, ...STALE.staleIndex },
  ])
})

stale('a shard that died meanwhile costs a finished read nothing', async () => {
  const query = () => Promise.reject(new StoreError('shard_failed', 'the shard is recovering'))
  assert.is(await requestRebuild({ query }, PLAN, STALE), undefined)
})

stale('a defect is not hidden', async () => {
  const query = () => Promise.reject(new TypeError('a defect'))
  const [asked] = await Promise.allSettled([requestRebuild({ query }, PLAN, STALE)])
  assert.is(asked.status, 'rejected')
})

stale.run()
