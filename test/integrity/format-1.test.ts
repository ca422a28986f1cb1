import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { StreamStore } from '../../src/main/store.ts'
import { decodeManifest } from '../../src/shared/format/manifest.ts'
import { manifestPath, streamPath } from '../../src/shared/format/paths.ts'
import { decodeSealedJson } from '../../src/shared/format/sealed-json.ts'
import { openDirectory } from '../support/open-store.ts'
import { batchOf, READ } from '../support/store-helpers.ts'

// A store of two shards that version 0.1.0 wrote and was serving when it was copied: `orders` has
// two segments and records that only the journal has, `new` and `late` are in the journal alone,
// `audit` was closed. Of the deleted streams `gone` is gone from the catalogue; that of `kept until
// stored` is in the journal while its directory is still there.

const STORE = resolve(import.meta.dirname, '../../../test/golden/store-format-1.tar.gz')

/** What that version said about its streams. */
const STREAMS = {
  audit: {
    streamId: 'ba27c6f710a397b5ce3cde03d05b2299',
    chainHead: '3493e4a1e0ae56c0bd8aab6cdba4fbe42232b73a7504d54692bc9d0ae148b38f',
    records: 1,
    state: 'closed',
  },
  late: {
    streamId: 'd0e3f4dd4e106e86ea1e4796921330af',
    chainHead: '544fa0253fc20a2baaa1728e2ab5efc8bffa60f8da26361c482e6063f5369cbf',
    records: 1,
    state: 'open',
  },
  new: {
    streamId: 'e3e25704c42933f8ccdcb82772da7773',
    chainHead: '006b8c261562232e14bcc1f6fa30aa3734f57dec146519b8b52da8ac47c614c5',
    records: 2,
    state: 'open',
  },
  orders: {
    streamId: 'b41af79b01eb1feb937734b31cc7205d',
    chainHead: '9ee4402b3ced664a6b089231df6c391c43a470b873f05ed5bd8130663d65ce1e',
    records: 8,
    state: 'open',
  },
} as const

type Name = keyof typeof STREAMS
const NAMES = Object.keys(STREAMS) as Name[]

/** Runs on a copy of the store, and on the store opened there. */
async function withCopy(
  run: (store: StreamStore, data: string) => Promise<void>,
  after: (data: string) => Promise<void> = async () => undefined,
): Promise<void> {
  const data = mkdtempSync(join(tmpdir(), 'varve-'))
  try {
    execFileSync('tar', ['-xzf', STORE, '-C', data])
    await use(data, store => run(store, data))
    await after(data)
  } finally {
    rmSync(data, { recursive: true, force: true })
  }
}

async function use(data: string, run: (store: StreamStore) => Promise<void>): Promise<void> {
  const store = await openDirectory(data, undefined)
  try {
    await run(store)
  } finally {
    await store.close()
  }
}

async function bodiesOf(store: StreamStore, stream: string): Promise<string[]> {
  const { payload } = await store.read(stream, { ...READ, verify: 'genesis' })
  const records = JSON.parse(`[${Buffer.from(payload).toString()}]`) as { text: string }[]
  return records.map(({ text }) => text)
}

function written(name: string, count: number): string[] {
  const word = name === 'orders' ? 'order' : name
  return Array.from({ length: count }, (_, offset) => `${word} ${offset}`)
}

function append(store: StreamStore, stream: string, ...texts: string[]) {
  return store.append({ stream, ...batchOf(...texts) })
}

const directory = suite('integrity/format-1')

directory('the streams that were there are there, and no deleted one', async () => {
  await withCopy(async store => {
    const { streams } = await store.list({ prefix: '', after: '', limit: 10 })
    const found = streams.map(({ stream, streamId, chainHead, nextOffset, state }) => {
      return [stream, { streamId, chainHead, records: nextOffset, state }]
    })
    assert.equal(Object.fromEntries(found), STREAMS)
  })
})

directory('every record comes back, its chain checked from genesis', async () => {
  await withCopy(async store => {
    for (const name of NAMES) {
      const { records, chainHead } = STREAMS[name]
      assert.equal(await bodiesOf(store, name), written(name, records))
      const report = await store.verify(name, {})
      assert.is(report.failure, null)
      assert.is(report.anchor, 'genesis')
      assert.is(report.verifiedRecords, records)
      assert.is(report.chainHead, chainHead)
    }
  })
})

directory('an older version must not touch it any more', async () => {
  await withCopy(async (_store, data) => {
    const header = decodeSealedJson(readFileSync(join(data, 'varve.json')))
    assert.equal(header, { format: 2, shards: 2, createdAt: 1_795_240_591_432_000 })
  })
})

directory('appends go on in the chain, and checkpoints come', async () => {
  await withCopy(async store => {
    const { chainHead } = await append(store, 'orders', 'order 8')
    const checkpoint = await store.checkpoint('orders')
    assert.is(checkpoint.chainHead, chainHead)
    assert.is(checkpoint.recordCount, 9)
    await append(store, 'orders', 'order 9')
    assert.is((await store.verify('orders', {})).anchor, 'genesis')
    const { anchor, failure } = await store.verify('orders', { from: 9 })
    assert.equal({ anchor, failure }, { anchor: 'checkpoint', failure: null })
  })
})

directory('what it stores from then on is of format 2, and old segments stay', async () => {
  const grow = async (store: StreamStore) => {
    for (let more = 8; more < 20; more += 1) await append(store, 'orders', `order ${more}`)
  }
  await withCopy(grow, async data => {
    const path = join(data, manifestPath(streamPath('orders')))
    const manifest = decodeManifest(readFileSync(path))
    assert.is(manifest?.format, 2)
    assert.equal(manifest?.sealed[0]?.lastTimestamp, null)
    assert.equal([manifest?.sealed[0]?.bytes, manifest?.sealed[0]?.nextOffset], [332, 4])
    assert.ok((manifest?.sealed.length ?? 0) > 2)
    assert.type(manifest?.sealed[1]?.lastTimestamp, 'number')
    await use(data, async store => {
      assert.equal(await bodiesOf(store, 'orders'), written('orders', 20))
      assert.is((await store.verify('orders', {})).failure, null)
    })
  })
})

directory('a stream of it can be trimmed', async () => {
  await withCopy(
    async store => {
      assert.is((await store.trim('orders', 5)).firstOffset, 5)
    },
    data =>
      use(data, async store => {
        const { firstOffset, segments } = await store.info('orders')
        assert.equal([firstOffset, segments], [5, 1])
        assert.is((await store.verify('orders', {})).anchor, 'trim')
        const page = await store.read('orders', { ...READ, from: 5 })
        assert.is(page.count, 3)
      }),
  )
})

directory.run()
