import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Feed, type FanOut } from '../../../src/main/tail/feed.ts'
import type { RecordChunk, StreamStore } from '../../../src/main/store.ts'
import { compressionOffered } from '../../../src/shared/format/compression.ts'
import { MIB } from '../../../src/shared/limits.ts'
import type { Compression, ReadRequest } from '../../../src/shared/protocol/streams.ts'
import { openStore } from '../../support/open-store.ts'
import { Random } from '../../support/random.ts'
import { batchOf, CONFIG, READ, withStore } from '../../support/store-helpers.ts'

// What a client sees of a stream is the same with and without compression, but for `recordBytes`.

const SEED = 20_261_121
const BODIES = 60
const CODECS = (['lz4', 'zstd'] as const).filter(name => compressionOffered(name) === undefined)
/** Half of the journal's interval between two checkpoints, so that some of it is in segments. */
const PAUSE_MS = 50

/** Bodies that compress, and among them some that do not, or are too small. */
function bodies(random: Random): string[] {
  return Array.from({ length: BODIES }, (_, at) => {
    if (at % 5 === 4) return random.bytes(random.below(200)).replaceAll(/[^ -~]/g, '~')
    return `{"event":"${random.below(1000)}"}`.repeat(1 + random.below(60))
  })
}

async function append(store: StreamStore, texts: readonly string[]): Promise<void> {
  for (let at = 0; at < texts.length; at += 7) {
    await store.append({ stream: 's', ...batchOf(...texts.slice(at, at + 7)) })
    await new Promise(resolve => {
      setTimeout(resolve, at === 28 ? PAUSE_MS : 0)
    })
  }
}

async function textsOf(store: StreamStore, request: Partial<ReadRequest>): Promise<string[]> {
  const { payload } = await store.read('s', { ...READ, ...request })
  const records = JSON.parse(`[${Buffer.from(payload).toString()}]`) as { text: string }[]
  return records.map(({ text }) => text)
}

const compressed = suite('main/shards/compressed-stream')

function withStream(
  title: string,
  run: (store: StreamStore, texts: readonly string[], compression: Compression) => Promise<void>,
): void {
  for (const compression of CODECS) {
    compressed(`${title} (${compression})`, () =>
      withStore(
        () => openStore(1),
        async store => {
          const texts = bodies(new Random(SEED))
          await store.create('s', { ...CONFIG, compression })
          await append(store, texts)
          await run(store, texts, compression)
        },
      ),
    )
  }
}

withStream('what was appended is read, whatever is verified', async (store, texts) => {
  for (const verify of ['none', 'links', 'checkpoint', 'genesis'] as const) {
    assert.equal(await textsOf(store, { verify }), texts, `seed ${SEED}, ${verify}`)
  }
})

withStream('it is read backward', async (store, texts) => {
  const read = await textsOf(store, { from: 'end', direction: 'backward' })
  assert.equal(read, texts.toReversed(), `seed ${SEED}`)
})

withStream(
  'the batch that comes out has the bytes of the one that went in',
  async (store, texts) => {
    const { payload } = await store.read('s', { ...READ, encoding: 'batch' })
    assert.ok(Buffer.from(payload).equals(batchOf(...texts).batch), `seed ${SEED}`)
  },
)

withStream('a page is bounded by the bytes of original bodies', async (store, texts) => {
  const maxBytes = texts.slice(0, 20).reduce((sum, { length }) => sum + length, 0)
  const page = await store.read('s', { ...READ, maxBytes })
  assert.is(page.nextOffset, 20)
})

withStream('its chain verifies, and it takes less space', async (store, texts) => {
  const { ok, verifiedRecords } = await store.verify('s', {})
  assert.equal([ok, verifiedRecords], [true, texts.length])
  const { recordBytes } = await store.info('s')
  const raw = texts.reduce((sum, { length }) => sum + length, 0)
  assert.ok(recordBytes < raw / 2, `${recordBytes} bytes for ${raw}`)
})

withStream('compression can be turned off and on, and all is read', async (store, texts, name) => {
  for (const compression of ['none', name, 'none'] as const) {
    await store.configure('s', { compression })
    await append(store, texts)
  }
  assert.equal(await textsOf(store, {}), [...texts, ...texts, ...texts, ...texts])
})

/** The chunk that a listener gets for one append. */
async function chunkOf(store: StreamStore, text: string): Promise<RecordChunk> {
  return await new Promise((resolve, reject) => {
    const listener = { onRecords: resolve, onEnd: reject }
    store
      .subscribe('s', listener)
      .then(() => store.append({ stream: 's', ...batchOf(text) }))
      .catch(reject)
  })
}

/** What a live follower gets of a chunk: null when it has to read it instead. */
async function messageOf(chunk: RecordChunk): Promise<Buffer | null> {
  const feed = new Feed(
    () => 0,
    () => undefined,
  )
  feed.begin(chunk.firstOffset, '0'.repeat(32))
  return await new Promise(resolve => {
    const onFanOut = (fanOut: FanOut) => resolve(fanOut.message('json', chunk.firstOffset))
    feed.add({ isLive: true, position: chunk.firstOffset, onFanOut, onEnd: () => undefined })
    feed.onRecords(chunk)
  })
}

withStream('a live follower gets the original body', async store => {
  const message = await messageOf(await chunkOf(store, 'live '.repeat(1000)))
  assert.match(message?.toString() ?? '', 'live '.repeat(1000))
})

withStream('what expands to more than a fan-out holds is left to be read', async store => {
  const chunk = await chunkOf(store, 'live '.repeat(MIB))
  assert.ok((chunk.records?.length ?? MIB) < MIB)
  assert.is(await messageOf(chunk), null)
})

compressed.run()
