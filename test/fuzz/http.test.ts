import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { startServer, withDirectory } from '../support/server.ts'
import { fuzzHttp } from './fuzz-http.ts'
import { fuzzSockets } from './fuzz-sockets.ts'

const http = suite('fuzz/http')
/** `node dist/test/fuzz/run.js --requests N --seed N` for more of them. */
const SEED = 1

http(
  'no request or frame breaks the contract or the process, and what was acknowledged is there',
  () =>
    withDirectory(async data => {
      const server = await startServer({ data })
      try {
        const target = { url: server.url, pid: server.pid, data }
        const { failures, records = 0 } = await fuzzHttp(target, { requests: 800, seed: SEED })
        assert.equal(failures, [])
        assert.ok(records > 100, `${records} records were kept`)
        assert.equal((await fuzzSockets(target, { requests: 100, seed: SEED })).failures, [])
      } finally {
        await server.kill()
      }
    }),
)

http.run()
