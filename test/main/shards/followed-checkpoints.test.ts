import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Feed, type Follower } from '../../../src/main/tail/feed.ts'
import type { ShardedStore } from '../../../src/main/shards/sharded-store.ts'
import { ENGINE, openStore } from '../../support/open-store.ts'
import { append, CONFIG, eventually } from '../../support/store-helpers.ts'

// The cursors that a follower gets are those that the appends were answered with, whatever lies
// between the records.

const followed = suite('main/shards/followed-checkpoints')

/** What puts a checkpoint of its own between two appends, in the same turn. */
const BETWEEN = {
  'a checkpoint on request': (store: ShardedStore) => store.checkpoint('a'),
  'a trim to the end': (store: ShardedStore) => store.trim('a', 2),
}

for (const [what, change] of Object.entries(BETWEEN)) {
  followed(`the cursor before ${what} is the hash of the record, not of a checkpoint`, async () => {
    const store = await openStore(1, { engine: { ...ENGINE, checkpointIntervalMs: 1e9 } })
    try {
      await store.create('a', CONFIG)
      await append(store, 'a', 'before')
      const cursors = await follow(store)
      // One turn, one task, one block: the shard tells all of it at once.
      const answers = await Promise.all([
        append(store, 'a', 'first'),
        change(store),
        append(store, 'a', 'second'),
      ])
      const [first, , second] = answers
      await eventually(async () => cursors.size === 2)
      assert.equal(
        [...cursors.entries()],
        [
          [2, first.recordHash],
          [3, second.recordHash],
        ],
      )
    } finally {
      await store.close()
    }
  })
}

/** Follows the stream; the cursors come as events have them, offset → hash. */
async function follow(store: ShardedStore): Promise<Map<number, string>> {
  const cursors = new Map<number, string>()
  const feed = new Feed(
    () => performance.now(),
    () => undefined,
  )
  const { nextOffset, streamId } = await store.subscribe('a', feed)
  feed.begin(nextOffset, streamId)
  const follower: Follower = {
    isLive: true,
    position: nextOffset,
    onFanOut: fanOut => {
      const text = fanOut.message('sse', fanOut.firstOffset)?.toString() ?? ''
      for (const [, offset, hash = ''] of text.matchAll(/^id: (\d+)\.([0-9a-f]{64})$/gm)) {
        cursors.set(Number(offset), hash)
      }
    },
    onEnd: () => undefined,
  }
  feed.add(follower)
  return cursors
}

followed.run()
