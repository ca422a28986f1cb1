import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ENGINE, openDirectory, openStore } from '../../support/open-store.ts'
import { withDirectory } from '../../support/server.ts'
import { append, CONFIG, numbered } from '../../support/store-helpers.ts'
import { addStoreTests } from '../../support/store-suite.ts'

const store = suite('main/shards/sharded-store-trims')

addStoreTests(store, ['trims'], () => openStore(2))

store(
  'a stream that was trimmed in memory alone is verified without a gap, from anywhere',
  async () => {
    const engine = { ...ENGINE, checkpointIntervalMs: 1e9 }
    await withDirectory(async data => {
      const first = await openDirectory(data, 1, { engine })
      await first.create('a', { ...CONFIG, checkpointEvery: 10 })
      await append(first, 'a', ...numbered(12))
      await first.close()
      const second = await openDirectory(data, 1, { engine })
      try {
        await Promise.all([1, 2, 3, 4].map(() => append(second, 'a', ...numbered(10))))
        await second.trim('a', 45)
        for (const [from, anchor] of [
          [45, 'genesis'],
          [46, 'checkpoint'],
        ] as const) {
          const { ok, verifiedRecords, ...report } = await second.verify('a', { from })
          assert.equal([ok, report.anchor, verifiedRecords], [true, anchor, 52 - from])
        }
        assert.equal(second.damage(), [])
      } finally {
        await second.close()
      }
    })
  },
)

store.run()
