import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { withServer } from '../support/http-server.ts'
import { failedChecks, type K6Result, VirtualUser } from '../support/k6-run.ts'
import { appended, withScript } from '../support/scripted-server.ts'

const scripts = suite('k6/scripts')

const NAMES = ['append', 'read', 'tail', 'mixed']

/** Runs with virtual users of a script, which share the data of its setup. */
async function withUsers(
  script: string,
  url: string,
  count: number,
  run: (users: VirtualUser[], data: unknown) => Promise<void>,
): Promise<void> {
  const env = { VARVE_URL: url, DURATION: '3s', VUS: '1' }
  const users = await Promise.all(
    Array.from({ length: count }, (_, index) => VirtualUser.open(script, env, index + 1)),
  )
  try {
    const setUp = (await users[0]?.run('setup')) as K6Result
    await run(users, setUp.result)
  } finally {
    await Promise.all(users.map(user => user.close()))
  }
}

scripts('every scenario has its function, and a summary is made', async () => {
  for (const script of NAMES) {
    const user = await VirtualUser.open(script, {})
    for (const { exec } of Object.values(user.options.scenarios)) {
      assert.type(exec, 'string', script)
    }
    assert.equal(user.options.thresholds['checks'], ['rate==1'], script)
    const data = {
      state: { testRunDurationMs: 1 },
      metrics: {},
      root_group: { checks: [], groups: [] },
    }
    const { result } = await user.run('handleSummary', data)
    assert.match((result as { stdout: string }).stdout, 'thresholds', script)
    await user.close()
  }
})

scripts('append.js finds a service right', async () => {
  await withServer(async ({ url }) => {
    await withUsers('append', url, 2, async ([first, second], data) => {
      const results = await Promise.all([
        first?.run('own', data, 12),
        second?.run('shared', data, 5),
      ])
      const last = (await first?.run('teardown', data)) as K6Result
      assert.equal(failedChecks(...(results as K6Result[]), last), [])
      assert.is(last.sums['varve_records_appended'], 10 + 2 * 100)
      assert.is(last.sums['varve_records_read'], 10 + 2 * 100 + 5)
      assert.is(last.checks['verify: the chain holds']?.passes, 2)
    })
  })
})

scripts('read.js finds a service right', async () => {
  await withServer(async ({ url }) => {
    await withUsers('read', url, 1, async ([user], data) => {
      const result = (await user?.run('readSome', data, 40)) as K6Result
      assert.equal(failedChecks(result), [])
      assert.is(result.sums['varve_records_appended'], 20_000)
      for (const way of ['forward', 'backward', 'ndjson', 'batch', 'one record']) {
        assert.ok(result.checks[`${way}: what was appended`], way)
      }
    })
  })
})

scripts('tail.js finds a service right', async () => {
  await withServer(async ({ url }) => {
    await withUsers('tail', url, 2, async ([subscriber, writer], data) => {
      const tailing = subscriber?.run('subscribe', data)
      await writer?.run('write', data, 10)
      const wrote = (await writer?.run('close', data)) as K6Result
      await tailing
      const seen = (await subscriber?.run('teardown', data)) as K6Result
      assert.equal(failedChecks(wrote, seen), [])
      assert.is(seen.sums['varve_tail_latency_ms'], 10)
    })
  })
})

scripts('mixed.js finds a service right', async () => {
  await withServer(async ({ url }) => {
    await withUsers('mixed', url, 3, async ([writer, reader, tailer], data) => {
      await Promise.all([writer?.run('appendSome', data, 30), tailer?.run('tailSome', data)])
      const read = (await reader?.run('readSome', data, 10)) as K6Result
      const last = (await writer?.run('teardown', data)) as K6Result
      const tailed = (await tailer?.run('tailSome', data)) as K6Result
      assert.equal(failedChecks(read, last, tailed), [])
    })
  })
})

scripts('an answer that skips an offset is seen', async () => {
  const script = (_: unknown, index: number) => appended(index === 2 ? 3 : index, 1)
  await withScript(script, async url => {
    await withUsers('append', url, 1, async ([user], data) => {
      const result = (await user?.run('own', data, 3)) as K6Result
      assert.is(result.checks['own stream: at the offset foretold']?.fails, 1)
    })
  })
})

scripts('an answer with a wrong number of records is seen', async () => {
  await withScript(
    () => ({ body: { firstOffset: 0, nextOffset: 2, count: 1, durable: false, chainHead: '' } }),
    async url => {
      await withUsers('append', url, 1, async ([user], data) => {
        const failed = failedChecks((await user?.run('shared', data)) as K6Result)
        const dense = ['append: offsets are dense', 'append: durable', 'append: has a chain head']
        assert.equal(failed, dense)
      })
    },
  )
})

scripts.run()
