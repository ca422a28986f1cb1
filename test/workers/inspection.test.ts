import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { InspectionMessage, InspectionRequest } from '../../src/shared/protocol/inspection.ts'
import { smallStore } from '../support/inspected-store.ts'

const ENTRY = new URL('../../src/workers/inspection.js', import.meta.url)

/** What the thread says before it ends. */
function ask(request: InspectionRequest): Promise<InspectionMessage[]> {
  return new Promise((resolve, reject) => {
    const messages: InspectionMessage[] = []
    const worker = new Worker(ENTRY, { workerData: request })
    worker.on('message', (message: InspectionMessage) => messages.push(message))
    worker.on('error', reject)
    worker.on('exit', () => resolve(messages))
  })
}

/** Runs `use` with a data directory on the real file system. */
async function withData(use: (data: string) => Promise<void>): Promise<void> {
  const data = mkdtempSync(join(tmpdir(), 'varve-inspection-'))
  const { disk } = smallStore()
  for (const path of disk.paths()) {
    mkdirSync(dirname(join(data, path)), { recursive: true })
    writeFileSync(join(data, path), disk.content(path))
  }
  try {
    await use(data)
  } finally {
    rmSync(data, { recursive: true })
  }
}

const inspection = suite('workers/inspection')

inspection('the thread verifies a directory, reports, and ends', async () => {
  await withData(async data => {
    const messages = await ask({ kind: 'verify', data, heads: [], keys: [] })
    const last = messages.at(-1)
    assert.is(last?.kind, 'report')
    assert.ok(last?.kind === 'report' && last.ok)
  })
})

inspection('the thread shows a file', async () => {
  await withData(async data => {
    const messages = await ask({ kind: 'inspect', file: join(data, 'varve.json') })
    assert.ok(messages.some(message => message.kind === 'line' && /"shards": 1/.test(message.text)))
  })
})

inspection('what is not there is a failure with a reason', async () => {
  for (const request of [
    { kind: 'verify', data: '/nowhere', heads: [], keys: [] },
    { kind: 'inspect', file: '/nowhere/catalogue' },
  ] as const) {
    const messages = await ask(request)
    assert.equal(
      messages.map(({ kind }) => kind),
      ['failed'],
    )
  }
})

inspection.run()
