import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { JournalComparison } from '../../../src/main/shards/journal-comparison.ts'
import { ShardClient } from '../../../src/main/shards/shard-client.ts'
import type { ShardedStore } from '../../../src/main/shards/sharded-store.ts'
import type { ShardedStoreOptions } from '../../../src/main/shards/store-options.ts'
import { Hub } from '../../../src/main/tail/hub.ts'
import type { StoreError } from '../../../src/shared/errors.ts'
import { ring } from '../../../src/shared/memory/doorbell.ts'
import { FailureCode, viewJournalMemory, Word } from '../../../src/shared/memory/journal-memory.ts'
import { SlotState } from '../../../src/shared/memory/slot-state.ts'
import type { JournalEnds } from '../../../src/shared/format/journal-ends.ts'
import type { Durability } from '../../../src/shared/protocol/streams.ts'
import { Signer } from '../../../src/shared/signing.ts'
import { NodeDisk } from '../../../src/workers/disk/node-disk.ts'
import { systemEnvironment } from '../../../src/workers/environment.ts'
import { openDataDirectory } from '../../../src/workers/recovery/data-directory.ts'
import { ENGINE, openStore } from '../../support/open-store.ts'
import { encodeTexts } from '../../support/simulated-shard.ts'
import { failureOf, READ } from '../../support/store-helpers.ts'
import { withThreads } from '../../support/threads.ts'

const SIGNING_KEY = Signer.fromSeed('s'.repeat(32)).toPem()

const deaths = suite('main/shards/thread-deaths')

deaths('a shard thread that dies under reads is recovered, and every request is answered', () =>
  withShard(async (store, shard) => {
    await append(store, 'kept')
    const asked = Array.from({ length: 500 }, () => store.info('s'))
    const killed = shard.terminate()
    const outcomes = await Promise.allSettled(asked)
    await killed
    const refused = outcomes.flatMap(outcome =>
      outcome.status === 'rejected' ? (outcome.reason as StoreError).code : [],
    )
    assert.equal([...new Set(refused)], ['shard_failed'])
    await untilReady(store)
    const { firstOffset } = await append(store, 'after')
    assert.is((await texts(store)).indexOf('after'), firstOffset)
  }),
)

deaths('an append that was under way in a thread that died is answered with outcome unknown', () =>
  withShard(
    async (store, shard) => {
      await append(store, 'kept', 'immediate')
      const pending = failureOf(append(store, 'maybe'))
      await store.info('s') // asked after the append, so that is in the log buffer
      await shard.terminate()
      const { code, fields } = await pending
      assert.equal([code, fields['outcome']], ['shard_failed', 'unknown'])
      await untilReady(store)
    },
    { engine: { ...ENGINE, flushDelayMs: 3_600_000 } },
  ),
)

deaths('a shard thread that dies while it is idle is noticed', () =>
  withShard(async (store, shard) => {
    await append(store, 'kept')
    await shard.terminate()
    await turn()
    assert.is(store.status()[0]?.state, 'recovering')
    await untilReady(store)
    assert.equal(await texts(store), ['kept'])
  }),
)

deaths('watches of a shard whose thread died end, and new ones go on', () =>
  withShard(async (store, shard) => {
    await append(store, 'kept')
    const ended = new Promise<string>((resolve, reject) => {
      const listener = { onRecords: () => undefined, onEnd: resolve }
      store.subscribe('s', listener).catch(reject)
    })
    await store.info('s') // asked after the watch, so it has begun
    await shard.terminate()
    assert.is(await ended, 'failed')
    await untilReady(store)
    const heard = await new Promise<number>((resolve, reject) => {
      const onRecords = ({ nextOffset }: { nextOffset: number }) => resolve(nextOffset)
      const begun = store.subscribe('s', { onRecords, onEnd: () => undefined })
      begun.then(() => append(store, 'after')).catch(reject)
    })
    assert.is(heard, 2)
  }),
)

deaths('a long poll of a shard whose thread died ends, and the next one gets the record', () =>
  withShard(async (store, shard) => {
    await append(store, 'kept')
    const hub = new Hub(store, () => performance.now(), 10)
    const signal = new AbortController().signal
    const polled = hub.waitFor('s', 1, signal)
    await store.info('s')
    await shard.terminate()
    await polled
    await untilReady(store)
    const next = hub.waitFor('s', 1, signal)
    await store.info('s')
    await append(store, 'after')
    await next
    assert.equal(await texts(store), ['kept', 'after'])
    assert.is(hub.subscribers, 0)
  }),
)

deaths('a shard whose flusher dies is recovered, and what it had in hand is unknown', async () => {
  const opened: WebAssembly.Memory[] = []
  const store = await openStore(1, { onOpened: (_, { memory }) => opened.push(memory) })
  await append(store, 'kept')
  const { words, slots } = viewJournalMemory(opened[0] as WebAssembly.Memory, ENGINE.slotBytes)
  for (const slot of slots) slot.fill(0) // no sealed block looks like this
  for (const word of Word.slots) Atomics.store(words, word, SlotState.Sealed)
  ring(words, Word.sealed)
  const { fields } = await failureOf(append(store, 'maybe'))
  assert.ok(['unknown', 'not_applied'].includes(String(fields['outcome'])))
  await until(() => opened.length === 2)
  await untilReady(store)
  await append(store, 'after')
  const found = await texts(store)
  assert.equal([found[0], found.at(-1)], ['kept', 'after'])
  await store.close()
})

deaths('a shard that failed a sync is not opened again by the death of its thread', async () => {
  const opened: WebAssembly.Memory[] = []
  const onOpened: OpenedListener = (_, { memory }) => opened.push(memory)
  await withShard(
    async (store, shard) => {
      await append(store, 'kept')
      const { words } = viewJournalMemory(opened[0] as WebAssembly.Memory, ENGINE.slotBytes)
      Atomics.store(words, Word.failure, FailureCode.Sync)
      ring(words, Word.flushed)
      await until(() => store.status()[0]?.state === 'failed')
      const gone = once(shard, 'exit')
      await shard.terminate()
      await gone
      for (let turns = 0; turns < 20; turns += 1) await turn()
      assert.equal([store.status()[0]?.state, opened.length], ['failed', 1])
      assert.match(store.status()[0]?.detail ?? '', /then a thread died/)
    },
    { onOpened },
  )
})

deaths('a shard whose thread dies while it waits for other shards is opened again', () =>
  withThreads(async threads => {
    const data = mkdtempSync(join(tmpdir(), 'varve-'))
    openDataDirectory(new NodeDisk(data), systemEnvironment, 2)
    const comparison = new WatchedComparison(2)
    const ignored = () => undefined
    const listener = { onEvent: ignored, onOpened: ignored, onState: ignored }
    const options = { shard: 0, data, engine: ENGINE, signingKey: SIGNING_KEY, comparison }
    const opening = ShardClient.open({ ...options, inFlightBytesMax: 1000 }, listener)
    await until(() => comparison.joined === 1)
    await threads[0]?.terminate()
    await until(() => comparison.joined === 2)
    comparison.leave(1)
    const client = await opening
    assert.is(client.status.state, 'ready')
    await client.close()
    rmSync(data, { recursive: true })
  }),
)

deaths('a shard whose threads keep dying fails, and closes', () =>
  withShard(async (store, _, threads) => {
    for (let death = 0; death < 4; death += 1) {
      await untilReady(store)
      await threads.at(-1)?.terminate()
      await turn()
    }
    await until(() => store.status()[0]?.state === 'failed')
    const { code } = await failureOf(append(store, 'late'))
    assert.is(code, 'shard_failed')
  }),
)

type OpenedListener = ShardedStoreOptions['onOpened']

class WatchedComparison extends JournalComparison {
  joined = 0

  override join(shard: number, ends: JournalEnds | null): Promise<string | null> {
    this.joined += 1
    return super.join(shard, ends)
  }
}

/** @param run is given the store, the thread of its shard, and all threads as they come */
function withShard(
  run: (store: ShardedStore, shard: Worker, threads: readonly Worker[]) => Promise<void>,
  changes: Parameters<typeof openStore>[1] = {},
): Promise<void> {
  return withThreads(async threads => {
    const store = await openStore(1, changes)
    try {
      await run(store, threads[1] as Worker, threads)
    } finally {
      await store.close()
    }
  })
}

function append(store: ShardedStore, text: string, durability: Durability = 'group') {
  return store.append({ stream: 's', batch: encodeTexts([text]), count: 1, durability })
}

function turn(): Promise<void> {
  return new Promise(done => {
    setImmediate(() => setImmediate(done))
  })
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}

function untilReady(store: ShardedStore): Promise<void> {
  return until(() => store.status().every(({ state }) => state === 'ready'))
}

async function texts(store: ShardedStore): Promise<string[]> {
  const { payload } = await store.read('s', { ...READ, encoding: 'json', verify: 'genesis' })
  const records = JSON.parse(`[${Buffer.from(payload).toString()}]`) as { text: string }[]
  return records.map(({ text }) => text)
}

deaths.run()
