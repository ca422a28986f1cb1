import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DurableWaits } from '../../../src/main/shards/durable-waits.ts'
import type { StoreError } from '../../../src/shared/errors.ts'
import { PAGE_BYTES } from '../../../src/shared/limits.ts'
import { ring } from '../../../src/shared/memory/doorbell.ts'
import {
  createJournalMemory,
  FailureCode,
  Word,
} from '../../../src/shared/memory/journal-memory.ts'

const waits = suite('main/shards/durable-waits')

waits('answers are released up to the durable LSN, in order', async () => {
  const { add, heard, publish } = open()
  for (const pages of [1, 2, 3]) add(pages)
  publish(2)
  await turn()
  assert.equal(heard, ['1 durable', '2 durable'])
  publish(3)
  await turn()
  assert.is(heard.length, 3)
})

waits('what was durable when the shard failed is answered so, the rest is unknown', async () => {
  const { add, heard, publish, words } = open()
  for (const pages of [1, 2]) add(pages)
  Atomics.store(words, Word.failure, FailureCode.Stall)
  publish(1)
  await turn()
  assert.equal(heard, ['1 durable', '2 unknown'])
})

waits('what comes after the shard is gone is answered at once', async () => {
  const { add, heard, abandon } = open()
  add(1)
  abandon()
  add(2)
  await turn()
  assert.equal(heard, ['1 unknown', '2 unknown'])
})

waits('nobody waits on the memory of a shard that is gone', async () => {
  const { add, abandon, words } = open()
  add(1)
  await turn()
  abandon()
  await turn()
  assert.is(Atomics.notify(words, Word.flushed), 0)
})

function open() {
  const memory = createJournalMemory(PAGE_BYTES)
  const { words } = memory
  const waits = new DurableWaits(memory)
  const heard: string[] = []
  const add = (pages: number) =>
    waits.add(
      pages,
      () => heard.push(`${pages} durable`),
      ({ fields }: StoreError) => heard.push(`${pages} ${fields['outcome']}`),
    )
  const publish = (pages: number) => {
    Atomics.store(words, Word.durablePages, pages)
    ring(words, Word.flushed)
  }
  return { add, heard, publish, words, abandon: () => waits.abandon() }
}

/** A wake-up over shared memory takes a few turns of the event loop. */
async function turn(): Promise<void> {
  for (let turns = 0; turns < 100; turns += 1) {
    await new Promise(done => {
      setImmediate(done)
    })
  }
}

waits('a flush that comes while others are answered wakes who still waits', async () => {
  const memory = createJournalMemory(PAGE_BYTES)
  const pending = new DurableWaits(memory)
  const flush = (pages: number) => {
    Atomics.store(memory.words, Word.durablePages, pages)
    ring(memory.words, Word.flushed)
  }
  const answered: number[] = []
  const add = (pages: number, then: () => void) => {
    const release = () => {
      answered.push(pages)
      then()
    }
    pending.add(pages, release, () => answered.push(-pages))
  }
  add(1, () => flush(2)) // the durable mark has been looked at by then
  add(2, () => undefined)
  flush(1)
  for (let round = 0; round < 20 && answered.length < 2; round += 1) await turn()
  assert.equal(answered, [1, 2])
})

waits.run()
