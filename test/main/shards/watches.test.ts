import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ShardClient } from '../../../src/main/shards/shard-client.ts'
import { Watches } from '../../../src/main/shards/watches.ts'
import { StoreError } from '../../../src/shared/errors.ts'

const watches = suite('main/shards/watches')

watches(
  'a watch whose shard fails while it is asked for is refused, and not forgotten',
  async () => {
    const { all, answer } = open()
    const watch = all.add('s', LISTENER)
    all.endShard(0)
    answer()
    assert.is(await failureOf(watch), 'shard_failed')
  },
)

watches('a watch that has begun is told when its shard fails', async () => {
  const { all, answer } = open()
  const said: string[] = []
  const watch = all.add('s', { ...LISTENER, onEnd: reason => said.push(reason) })
  answer()
  assert.is((await watch).nextOffset, 3)
  all.endShard(0)
  assert.equal(said, ['failed'])
})

const LISTENER = { onRecords: () => undefined, onEnd: () => undefined }

/** Watches of one shard, which answers when told to. */
function open() {
  let answer: () => void = () => undefined
  const asked = new Promise<void>(resolve => {
    answer = resolve
  })
  const client = {
    status: { shard: 0, state: 'ready' },
    query: async () => {
      await asked
      return { nextOffset: 3, streamId: '0'.repeat(16) }
    },
  } as unknown as ShardClient
  return { all: new Watches(() => client), answer }
}

async function failureOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    if (error instanceof StoreError) return error.code
    throw error
  }
  return 'none'
}

watches.run()
