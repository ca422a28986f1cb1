import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FailureCode, viewJournalMemory, Word } from '../../../src/shared/memory/journal-memory.ts'
import type { ShardEvent } from '../../../src/shared/protocol/shard.ts'
import { Signer } from '../../../src/shared/signing.ts'
import { NodeDisk } from '../../../src/workers/disk/node-disk.ts'
import { Shard } from '../../../src/workers/engine/shard-thread.ts'
import { systemEnvironment } from '../../../src/workers/environment.ts'
import { openDataDirectory } from '../../../src/workers/recovery/data-directory.ts'
import { ENGINE } from '../../support/open-store.ts'
import { withThreads } from '../../support/threads.ts'

const FLUSHER = 0
const WRITE_BACK = 1

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

function killed(at: number, reason: RegExp): Promise<void> {
  return withShard(async ({ events, failure, threads }) => {
    const said = once(events, 'message') as Promise<[ShardEvent]>
    await threads[at]?.terminate()
    const [event] = await said
    assert.ok(event.kind === 'state' && event.state === 'failed')
    assert.match(event.detail, reason)
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
  }) => Promise<void>,
): Promise<void> {
  return withThreads(async threads => {
    const data = mkdtempSync(join(tmpdir(), 'varve-'))
    openDataDirectory(new NodeDisk(data), systemEnvironment, 1)
    const { port1, port2 } = new MessageChannel()
    const signingKey = Signer.fromSeed('s'.repeat(32)).toPem()
    const options = { data, shard: 0, options: ENGINE, signingKey, events: port2 }
    const shard = new Shard({ kind: 'open', ...options })
    const { words } = viewJournalMemory(shard.opened.memory, ENGINE.slotBytes)
    try {
      await run({ shard, events: port1, failure: () => words[Word.failure] ?? 0, threads })
    } finally {
      await Promise.all(threads.map(thread => thread.terminate()))
      port1.close()
      rmSync(data, { recursive: true })
    }
  })
}

shardThread.run()
