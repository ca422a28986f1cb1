import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FailureCode, viewJournalMemory, Word } from '../../../src/shared/memory/journal-memory.ts'
import { STREAM_CONFIG_DEFAULT } from '../../../src/shared/limits.ts'
import type { Mutation, ShardEvent, ShardOptions } from '../../../src/shared/protocol/shard.ts'
import { Signer } from '../../../src/shared/signing.ts'
import { NodeDisk } from '../../../src/workers/disk/node-disk.ts'
import { Shard } from '../../../src/workers/engine/shard-thread.ts'
import { systemEnvironment } from '../../../src/workers/environment.ts'
import { openDataDirectory } from '../../../src/workers/recovery/data-directory.ts'
import { ENGINE } from '../../support/open-store.ts'
import { encodeTexts } from '../../support/simulated-shard.ts'
import { withThreads } from '../../support/threads.ts'

const FLUSHER = 0
const WRITE_BACK = 1
const SIGNING_KEY = Signer.fromSeed('s'.repeat(32)).toPem()

const shardThread = suite('workers/engine/shard-thread')

shardThread('a shard whose flusher is gone fails, and wants to be recovered', () =>
  killed(FLUSHER, /^the flusher thread exited/),
)

shardThread('a shard whose write-back thread is gone fails, and wants to be recovered', () =>
  killed(WRITE_BACK, /^the write-back thread exited/),
)

shardThread('threads that a stop sends away are no failure', () =>
  withShard(async ({ shard, failure, threads }) => {
    const gone = threads.map(thread => once(thread, 'exit'))
    await shard.stop()
    await Promise.all(gone)
    assert.is(failure(), FailureCode.None)
  }),
)

shardThread('a watch that begins while there is no room hears of records once there is', () =>
  withShard(async ({ shard, open }) => {
    await mutate(shard, { kind: 'create', stream: 's', config: STREAM_CONFIG_DEFAULT })
    await shard.stop()
    const options = { ...ENGINE, journalFileBytes: 2 ** 50 }
    const { shard: next, events } = open(options)
    assert.ok(next.begin(null).waiting)
    assert.is(next.watch('s', 7).nextOffset, 0)
    options.journalFileBytes = ENGINE.journalFileBytes
    assert.is(next.begin(null).waiting, null)
    const said = untilRecords(events)
    const bytes = Buffer.concat([Buffer.alloc(96), encodeTexts(['one'])])
    const batch = { at: 96, length: bytes.length - 96, count: 1 }
    const plain = { expectedOffset: undefined, durability: undefined, producer: undefined }
    await mutate(next, { kind: 'append', stream: 's', ...batch, ...plain }, bytes)
    const { watch, nextOffset } = await said
    assert.equal([watch, nextOffset], [7, 1])
    await next.stop()
  }),
)

type State = Extract<ShardEvent, { kind: 'state' }>

function untilState(events: MessageChannel['port1']): Promise<State> {
  return new Promise(resolve => {
    events.on('message', (event: ShardEvent) => {
      if (event.kind === 'state') resolve(event)
    })
  })
}

type Records = Extract<ShardEvent, { kind: 'records' }>

function untilRecords(events: MessageChannel['port1']): Promise<Records> {
  return new Promise(resolve => {
    events.on('message', (event: ShardEvent) => {
      if (event.kind === 'records') resolve(event)
    })
  })
}

function mutate(shard: Shard, mutation: Mutation, bytes = Buffer.alloc(0)) {
  return shard.mutate([mutation], bytes)
}

function killed(at: number, reason: RegExp): Promise<void> {
  return withShard(async ({ events, failure, threads }) => {
    const said = untilState(events)
    await threads[at]?.terminate()
    const { state, detail } = await said
    assert.is(state, 'failed')
    assert.match(detail, reason)
    assert.is(failure(), FailureCode.Thread)
  })
}

type Opened = Parameters<Parameters<typeof withThreads>[0]>[0]

/** A shard whose own threads are real, run by this one. */
function withShard(
  run: (parts: {
    shard: Shard
    events: MessageChannel['port1']
    failure: () => number
    threads: Opened
    open: (options: ShardOptions) => { shard: Shard; events: MessageChannel['port1'] }
  }) => Promise<void>,
): Promise<void> {
  return withThreads(async threads => {
    const data = mkdtempSync(join(tmpdir(), 'varve-'))
    openDataDirectory(new NodeDisk(data), systemEnvironment, 1)
    const ports: MessageChannel['port1'][] = []
    const open = (options: ShardOptions) => {
      const { port1: events, port2 } = new MessageChannel()
      ports.push(events)
      const request = { data, shard: 0, options, signingKey: SIGNING_KEY, events: port2 }
      return { shard: new Shard({ kind: 'open', ...request }), events }
    }
    const { shard, events } = open(ENGINE)
    const { words } = viewJournalMemory(shard.begin(null).memory, ENGINE.slotBytes)
    try {
      await run({ shard, events, failure: () => words[Word.failure] ?? 0, threads, open })
    } finally {
      await Promise.all(threads.map(thread => thread.terminate()))
      for (const port of ports) port.close()
      rmSync(data, { recursive: true })
    }
  })
}

shardThread.run()
