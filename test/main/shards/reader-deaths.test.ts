import type { Worker } from 'node:worker_threads'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Readers } from '../../../src/main/shards/readers.ts'
import { withThreads } from '../../support/threads.ts'
import { failureOf } from '../../support/store-helpers.ts'

const NO_KEY = 'k'.repeat(16)

const deaths = suite('main/shards/reader-deaths')

deaths('a request whose thread dies is answered by another one', () =>
  withReaders(async (readers, threads, reasons) => {
    const keys = readers.keys(NO_KEY)
    await threads[0]?.terminate()
    assert.equal(await keys, [])
    assert.is(reasons.length, 1)
  }),
)

deaths('a request whose threads keep dying is refused as retryable, and the next is served', () =>
  withReaders(async (readers, threads) => {
    const refused = failureOf(readers.keys(NO_KEY))
    for (let killed = 0; killed < 2; killed += 1) {
      while (threads.length === killed) await turn()
      await threads[killed]?.terminate()
    }
    assert.is((await refused).code, 'overloaded')
    assert.equal(await readers.keys(NO_KEY), [])
  }),
)

deaths('the death of an idle thread ends nothing else', () =>
  withReaders(async (readers, threads) => {
    assert.equal(await readers.keys(NO_KEY), [])
    await threads[0]?.terminate()
    assert.equal(await readers.keys(NO_KEY), [])
  }),
)

deaths('a defect of a reader is internal, and its thread goes on', () =>
  withReaders(async (readers, threads, reasons) => {
    const noPlan = undefined as never
    const error = await failureOf(readers.verify(noPlan, 0, 1))
    assert.is(error.code, 'internal')
    assert.match(String(error.cause), /TypeError/)
    assert.equal([await readers.keys(NO_KEY), threads.length, reasons], [[], 1, []])
  }),
)

type Run = (readers: Readers, threads: readonly Worker[], reasons: string[]) => Promise<void>

function withReaders(run: Run): Promise<void> {
  return withThreads(async threads => {
    const data = mkdtempSync(join(tmpdir(), 'varve-'))
    const reasons: string[] = []
    const readers = new Readers(data, 1, reason => reasons.push(reason))
    try {
      await run(readers, threads, reasons)
    } finally {
      await readers.close()
      rmSync(data, { recursive: true })
    }
  })
}

function turn(): Promise<void> {
  return new Promise(done => {
    setImmediate(done)
  })
}

deaths.run()
