import { parseArgs } from 'node:util'
import { startServer, withDirectory } from '../support/server.ts'
import { fuzzDecoders } from './fuzz-decoders.ts'
import { fuzzHttp } from './fuzz-http.ts'
import type { FuzzRow } from './fuzz-report.ts'
import { fuzzStore } from './fuzz-store.ts'
import { fuzzSockets } from './fuzz-sockets.ts'

// Fuzzes a server of its own and the decoders, and prints one row of JSON for each: what
// `npm run torture` shows.
//
//   node dist/test/fuzz/run.js [--requests N] [--seed N]

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '2000' },
    seed: { type: 'string', default: `${Date.now() % 1_000_000}` },
  },
})
const requests = Number(values.requests)
const seed = Number(values.seed)

const rows: FuzzRow[] = []
await withDirectory(async data => {
  const server = await startServer({ data, args: ['--shards', `${1 + (seed % 2)}`] })
  try {
    const target = { url: server.url, pid: server.pid, data }
    rows.push(await fuzzHttp(target, { requests, seed }))
    rows.push(await fuzzSockets(target, { requests: Math.ceil(requests / 10), seed }))
  } finally {
    await server.kill()
  }
})
rows.push(fuzzDecoders({ requests, seed }))
rows.push(fuzzStore({ requests: Math.ceil(requests / 10), seed }))
for (const row of rows) process.stdout.write(`${JSON.stringify({ seed, ...row })}\n`)
process.exitCode = rows.every(row => row.failures.length === 0) ? 0 : 1
