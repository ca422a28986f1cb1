import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StoreError } from '../../../src/shared/errors.ts'
import { Signer } from '../../../src/shared/signing.ts'
import type { ShardedStore } from '../../../src/main/shards/sharded-store.ts'
import { NodeDisk } from '../../../src/workers/disk/node-disk.ts'
import { changedStore } from '../../support/changed-store.ts'
import type { FlatDisk } from '../../support/flat-disk.ts'
import { forgeEntry, forgeState, swapFields } from '../../support/forger.ts'
import { verifyStore } from '../../support/inspected-store.ts'
import { openDirectory } from '../../support/open-store.ts'
import { encodeTexts } from '../../support/simulated-shard.ts'
import { READ } from '../../support/store-helpers.ts'

const SIGNING_KEY = Signer.fromSeed('s'.repeat(32)).toPem()

const altered = suite('main/shards/altered-state')

/**
 * Serves the store once `alter` has run on its files. Returns the streams that a verification of
 * the directory names afterwards.
 */
async function serve(
  alter: (disk: FlatDisk) => void,
  use: (store: ShardedStore) => Promise<void>,
): Promise<string[]> {
  const { disk } = changedStore().copy()
  alter(disk)
  const data = mkdtempSync(join(tmpdir(), 'varve-'))
  try {
    for (const path of disk.paths()) {
      mkdirSync(dirname(join(data, path)), { recursive: true })
      writeFileSync(join(data, path), disk.content(path))
    }
    const store = await openDirectory(data, undefined, { signingKey: SIGNING_KEY })
    await use(store)
    await store.close()
    const { damages } = verifyStore(new NodeDisk(data))
    return [...new Set(damages.map(({ stream }) => stream ?? ''))].sort()
  } finally {
    rmSync(data, { recursive: true })
  }
}

const batch = encodeTexts(['more'])

/** What each use of a stream is answered. */
async function uses(store: ShardedStore, stream: string): Promise<ReadonlySet<string>> {
  const answers = [
    store.info(stream),
    store.read(stream, READ),
    store.append({ stream, batch, count: 1 }),
    store.configure(stream, { checkpointEvery: 3 }),
    store.checkpoint(stream),
    store.closeStream(stream),
    store.trim(stream, 6),
  ]
  return new Set(await Promise.all(answers.map(codeOf)))
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'done'
  } catch (error) {
    if (error instanceof StoreError) return error.code
    throw error
  }
}

function damaged(store: ShardedStore): string[] {
  return [...new Set(store.damage().map(({ stream }) => stream))].sort()
}

const ALTERED: Readonly<Record<string, readonly [string[], (disk: FlatDisk) => void]>> = {
  'configurations that were swapped': [
    ['configured', 'created'],
    disk => swapFields(disk, 'configured', 'created', ['config']),
  ],
  'a closed stream that was made to look open': [
    ['closed'],
    disk => forgeEntry(disk, 'closed', () => ({ closed: false })),
  ],
  'a time of creation that was changed': [
    ['created'],
    disk => forgeEntry(disk, 'created', () => ({ createdAt: 1 })),
  ],
  'a first offset that was raised': [
    ['trimmed'],
    disk => forgeEntry(disk, 'trimmed', () => ({ firstOffset: 8 })),
  ],
  'a configuration that is no JSON': [
    ['configured'],
    disk => forgeEntry(disk, 'configured', () => ({ config: '[' })),
  ],
}

for (const [what, [streams, alter]] of Object.entries(ALTERED)) {
  altered(`${what}: the start names it, and nothing is answered of the stream`, async () => {
    const named = await serve(alter, async store => {
      assert.equal(damaged(store), streams)
      for (const stream of streams) {
        assert.equal(await uses(store, stream), new Set(['corrupt_record']), stream)
      }
      await store.append({ stream: 'sound', batch, count: 1 })
      assert.is((await store.info('sound')).nextOffset, 10)
    })
    assert.equal(named, streams, 'the evidence is still there')
  })
}

altered('a state whose checkpoint was made to say it is named at its first use', async () => {
  const named = await serve(
    disk => forgeEntry(disk, 'closed', entry => forgeState(entry, { closed: false })),
    async store => {
      assert.equal(damaged(store), [])
      assert.equal(await uses(store, 'closed'), new Set(['corrupt_record']))
      assert.equal(damaged(store), ['closed'])
    },
  )
  assert.equal(named, ['closed'])
})

altered('a state whose checkpoint was made to say it is named when it is listed', async () => {
  await serve(
    disk => forgeEntry(disk, 'closed', entry => forgeState(entry, { closed: false })),
    async store => {
      const query = { prefix: '', after: '', limit: 10 }
      await store.list(query) // the fault may come behind the first page
      const { streams } = await store.list(query)
      const named = streams.filter(({ damage }) => damage !== undefined)
      assert.equal(
        named.map(({ stream }) => stream),
        ['closed'],
      )
    },
  )
})

altered(
  'streams that were configured, closed and trimmed are served, and changed again',
  async () => {
    const named = await serve(
      () => undefined,
      async store => {
        assert.is((await store.info('closed')).state, 'closed')
        assert.is((await store.info('trimmed')).firstOffset, 4)
        const { config } = await store.configure('configured', { checkpointEvery: 50 })
        assert.is(config.retention.maxBytes, 1e9)
        assert.equal(damaged(store), [])
      },
    )
    assert.equal(named, [])
  },
)

altered.run()
