import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { assert } from '../shared/assert.ts'
import { waitForChange } from '../shared/memory/doorbell.ts'
import { viewJournalMemory, Word } from '../shared/memory/journal-memory.ts'
import { explainDirectIo } from './disk/direct-io.ts'
import { NodeDisk } from './disk/node-disk.ts'
import { systemEnvironment } from './environment.ts'
import { BlockWriter } from './journal/block-writer.ts'

/** What a flusher thread is started with. */
export type FlusherData = {
  readonly memory: WebAssembly.Memory
  readonly slotBytes: number
  readonly data: string
  readonly shard: number
}

/** What it says to its shard. */
export type FlusherMessage = {
  readonly kind: 'failed' | 'fallback'
  readonly reason: string
  readonly errno: string
}

/** How long to wait for disk space before the same block is written again. */
const SPACE_RETRY_MS = 100

const { memory, slotBytes, data, shard } = workerData as FlusherData
const port = parentPort as MessagePort
const { words } = viewJournalMemory(memory, slotBytes)
const writer = new BlockWriter(
  viewJournalMemory(memory, slotBytes),
  new NodeDisk(data),
  systemEnvironment,
  shard,
  receiveExternal,
)

run()

function run(): void {
  for (;;) {
    const seen = Atomics.load(words, Word.sealed) // before the step looks at the slots
    const step = writer.step()
    tellFallback()
    if (step === 'failed') {
      const { failure } = writer
      if (failure !== undefined) tell('failed', String(failure), failure.code)
      break
    }
    if (step === 'flushed') continue
    if (Atomics.load(words, Word.stop) === 1) break
    waitForChange(words, Word.sealed, seen, step === 'blocked' ? SPACE_RETRY_MS : undefined)
  }
  writer.close()
}

function tellFallback(): void {
  const { fallback } = writer
  if (fallback === undefined) return
  writer.fallback = undefined
  tell('fallback', explainDirectIo(fallback), fallback.code)
}

function tell(kind: FlusherMessage['kind'], reason: string, errno = ''): void {
  port.postMessage({ kind, reason, errno } satisfies FlusherMessage)
}

/** The appender posts an oversize block before it seals the slot, so it is there already. */
function receiveExternal(): Buffer {
  const received = receiveMessageOnPort(port)
  assert(received !== undefined, 'an oversize block was sealed but not sent')
  return Buffer.from(received.message as SharedArrayBuffer)
}
