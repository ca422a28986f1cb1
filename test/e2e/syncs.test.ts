import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { appendText, type Appended, readTexts } from '../support/client.ts'
import { type RunningServer, startServer, withDirectory } from '../support/server.ts'

const hasStrace = spawnSync('strace', ['-V']).status === 0
const APPENDS = 300

const syncs = suite('e2e/syncs')
const traced = hasStrace ? syncs : syncs.skip

syncs('what is traced here needs strace', () => {
  assert.type(hasStrace, 'boolean')
})

traced(
  'one thread does all the syncs of appends, one a block, and none answers requests',
  async () => {
    await withDirectory(async directory => {
      const trace = join(directory, 'trace')
      const wrapper = ['strace', '-f', '-qq', '-e', 'trace=fdatasync', '-o', trace]
      const server = await startServer({ data: join(directory, 'data'), wrapper })
      const before = syncCounts(trace)
      for (let count = 0; count < APPENDS; count += 1) await appendText(server.url, 's', `${count}`)
      const after = syncCounts(trace)
      const flushes = await metric(server, 'varve_flushes_total')
      await server.kill()
      const busy = [...after].filter(([thread, count]) => count > (before.get(thread) ?? 0))
      assert.is(busy.length, 1, 'one thread synced while appends went on')
      const [flusher = 0, count = 0] = busy[0] ?? []
      assert.is.not(flusher, server.pid)
      assert.ok(count <= flushes && count >= APPENDS, `${count} syncs for ${flushes} blocks`)
    })
  },
)

for (const errno of ['EIO', 'ENOSPC']) {
  traced(
    `a sync that fails with ${errno} is answered by no durable append, and never retried`,
    async () => {
      await withDirectory(async directory => {
        const data = join(directory, 'data')
        const known = await appendUntilFailure(data, join(directory, 'trace'), errno)
        const server = await startServer({ data })
        const texts = await readTexts(server.url, 's')
        await server.kill()
        assert.ok(known.length > 0)
        assert.equal(texts.slice(0, known.length), known)
      })
    },
  )
}

/** Appends until the injected failure; returns what was answered as durable. */
async function appendUntilFailure(data: string, trace: string, errno: string): Promise<string[]> {
  const inject = `fdatasync:error=${errno}:when=40+`
  const wrapper = [
    'strace',
    '-f',
    '-qq',
    '-e',
    'trace=fdatasync',
    '-o',
    trace,
    '-e',
    `inject=${inject}`,
  ]
  const server = await startServer({ data, wrapper })
  const known: string[] = []
  try {
    for (let count = 0; count < 2 * APPENDS; count += 1) {
      const response = await appendText(server.url, 's', `${count}`)
      const answer = (await response.json()) as Appended & { outcome?: string; code?: string }
      if (!response.ok) {
        assert.is(answer.code, 'shard_failed')
        assert.is(answer.outcome, 'unknown')
        await afterFailure(server, trace, known.length)
        return known
      }
      known.push(`${count}`)
    }
    throw new Error('no sync failed')
  } finally {
    await server.kill()
  }
}

/** The shard is failed for good: no write, no second sync; what was durable stays readable. */
async function afterFailure(server: RunningServer, trace: string, known: number): Promise<void> {
  const failed = failedSyncs(trace)
  const refused = (await (await appendText(server.url, 's', 'more')).json()) as { outcome?: string }
  assert.is(refused.outcome, 'not_applied')
  assert.is((await fetch(`${server.url}/v1/ready`)).status, 503)
  assert.is((await readTexts(server.url, 's')).length, known)
  assert.is(failedSyncs(trace), failed, 'a failed sync is not tried again')
}

function failedSyncs(trace: string): number {
  return readFileSync(trace, 'utf8')
    .split('\n')
    .filter(line => line.includes('INJECTED')).length
}

/** fdatasync calls so far, by thread. */
function syncCounts(trace: string): Map<number, number> {
  const counts = new Map<number, number>()
  for (const line of readFileSync(trace, 'utf8').split('\n')) {
    const thread = Number.parseInt(line, 10)
    if (line.includes('fdatasync(')) counts.set(thread, (counts.get(thread) ?? 0) + 1)
  }
  return counts
}

async function metric(server: RunningServer, name: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  const line = text.split('\n').find(candidate => candidate.startsWith(`${name}{`))
  return Number(line?.split(' ').at(-1) ?? Number.NaN)
}

syncs.run()
