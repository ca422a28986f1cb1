import { STREAM_CONFIG_DEFAULT } from '../../src/shared/limits.ts'
import { ShardedStore } from '../../src/main/shards/sharded-store.ts'
import { BATCH_ITEM_HEADER_BYTES, encodeBatchItemHeader } from '../../src/shared/format/batch.ts'
import { RecordFormat } from '../../src/shared/format/record.ts'
import { KIB, MIB } from '../../src/shared/limits.ts'

// A process with a store of its own: fills a data directory, prints what it was answered as
// durable, and then either closes the store or dies on the spot.
//
//   node store-child.js DATA close|kill

const SHARDS = 2
const STREAMS = ['orders', 'orders/ä', 'audit', '☃', 'closed-one']
const BATCHES = 40
/** Small enough that every stream rolls several times. */
const SEGMENT_BYTES = 4 * KIB
/** A journal checkpoint comes about soon, and again before the end. */
const CHECKPOINT_MS = 50
const PAUSE_MS = 300

const headers = Buffer.from('{"source":"child"}')

function encodeBatch(count: number, bodyBytes: number): Buffer {
  const items = Array.from({ length: count }, (_, item) => {
    const bytes = Buffer.alloc(BATCH_ITEM_HEADER_BYTES + headers.length + bodyBytes, 97 + item)
    encodeBatchItemHeader(bytes, 0, RecordFormat.Text, headers.length, bodyBytes)
    headers.copy(bytes, BATCH_ITEM_HEADER_BYTES)
    return bytes
  })
  return Buffer.concat(items)
}

function openStore(data: string): Promise<ShardedStore> {
  const ignore = () => {}
  return ShardedStore.open({
    data,
    shards: SHARDS,
    readers: 1,
    inFlightBytesMax: MIB,
    transactionTimeoutMs: 10_000,
    signingKey: undefined,
    engine: {
      slotBytes: 64 * KIB,
      journalFileBytes: 256 * KIB,
      journalBytesMax: 4 * MIB,
      checkpointIntervalMs: CHECKPOINT_MS,
      retentionIntervalMs: CHECKPOINT_MS,
      flushDelayMs: 0,
      flushOperationsMax: 0,
      relaxedFlushMs: 200,
      diskReserveBytes: 0,
      stallMs: 30_000,
      trustClock: false,
      producerExpirySeconds: 86_400,
      directBytes: 64 * 1024,
      directIo: false,
      streamsMax: 100,
      autoCreate: true,
      defaultConfig: { ...STREAM_CONFIG_DEFAULT, maxSegmentBytes: SEGMENT_BYTES },
    },
    onLog: ignore,
    onMended: () => undefined,
    onResharded: () => undefined,
    onOpened: ignore,
    onState: ignore,
  })
}

async function appendTo(store: ShardedStore, stream: string, epoch: number): Promise<void> {
  for (let batch = 0; batch < BATCHES; batch += 1) {
    const count = 1 + (batch % 4)
    // The last one is larger than a slot, so it goes through a buffer of its own.
    const bodyBytes = batch === BATCHES - 1 ? 20 * KIB : 37 * batch
    const producer = { id: 'child', epoch, seq: batch }
    await store.append({ stream, batch: encodeBatch(count, bodyBytes), count, producer })
  }
}

async function fill(store: ShardedStore): Promise<void> {
  await Promise.all([...STREAMS, 'deleted', 'again'].map(stream => appendTo(store, stream, 1)))
  await new Promise(resolve => {
    setTimeout(resolve, PAUSE_MS)
  })
  await store.remove('deleted')
  await store.remove('again')
  await store.configure('audit', { durability: 'immediate', compression: 'lz4' })
  await Promise.all([...STREAMS, 'again'].map(stream => appendTo(store, stream, 2)))
  await store.closeStream('closed-one')
  await store.trim('☃', 70)
  await store.checkpoint('orders')
  await store.barrier()
}

async function describe(store: ShardedStore): Promise<string> {
  const { streams } = await store.list({ prefix: '', after: '', limit: 100 })
  const described = streams.map(({ stream, streamId, nextOffset, chainHead, state }) => [
    stream,
    { streamId, records: nextOffset, chainHead, closed: state === 'closed' },
  ])
  return JSON.stringify(Object.fromEntries(described))
}

const [data = '', end] = process.argv.slice(2)
const store = await openStore(data)
await fill(store)
process.stdout.write(await describe(store))
if (end === 'kill') process.kill(process.pid, 'SIGKILL')
await store.close()
