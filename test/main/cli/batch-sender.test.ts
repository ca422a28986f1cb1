import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BatchSender, type SenderOptions } from '../../../src/main/cli/batch-sender.ts'
import { Client } from '../../../src/main/cli/client.ts'
import { bodiesOf, countBatchItems } from '../../../src/main/cli/record-output.ts'
import { RecordFormat } from '../../../src/shared/format/record.ts'
import {
  appended,
  problem,
  type ScriptedAnswer,
  type ScriptedRequest,
  withScript,
} from '../../support/scripted-server.ts'

const sender = suite('main/cli/batch-sender')

/** Sends the numbers below `count`, and returns what became of them. */
async function sendNumbers(url: string, count: number, options: Partial<SenderOptions> = {}) {
  const client = new Client(url)
  const waits: number[] = []
  const target = new BatchSender({
    client,
    stream: 's',
    durability: undefined,
    expectedOffset: undefined,
    recordsMax: 2,
    bytesMax: 1000,
    onProgress: () => undefined,
    onFailure: () => undefined,
    sleep: ms => Promise.resolve(waits.push(ms)),
    ...options,
  })
  let error: Error | undefined
  try {
    for (let number = 0; number < count; number += 1) {
      await target.add(RecordFormat.Text, Buffer.from(String(number)))
    }
    await target.finish()
  } catch (caught) {
    error = caught as Error
  }
  client.close()
  return { appended: target.appended, failure: target.failure, error, waits }
}

function bodies({ body }: ScriptedRequest): string {
  return bodiesOf(body, { count: countBatchItems(body), lineFeeds: false }).toString()
}

/** Answers each append as a server would, starting at offset 0. */
function accepting(): (request: ScriptedRequest) => ScriptedAnswer {
  let next = 0
  return ({ body }) => {
    const count = countBatchItems(body)
    next += count
    return appended(next - count, count)
  }
}

const ALL_FIVE = {
  records: 5,
  duplicates: 0,
  bytes: 5,
  firstOffset: 0,
  nextOffset: 5,
  durable: true,
}

sender('records go out in order, in batches', async () => {
  const requests = await withScript(accepting(), async url => {
    const { appended: sum } = await sendNumbers(url, 5)
    assert.equal(sum, ALL_FIVE)
  })
  assert.equal(requests.map(bodies), ['01', '23', '4'])
  assert.is(requests[0]?.target, '/v1/streams/s/records')
})

sender('one request is in flight at a time', async () => {
  let inFlight = 0
  const accept = accepting()
  await withScript(
    async request => {
      inFlight += 1
      assert.is(inFlight, 1)
      await new Promise(setImmediate)
      inFlight -= 1
      return accept(request)
    },
    async url => assert.is((await sendNumbers(url, 20)).error, undefined),
  )
})

sender('with an expected offset each batch follows the one before', async () => {
  const requests = await withScript(accepting(), async url => {
    await sendNumbers(url, 4, { expectedOffset: 0, durability: 'immediate' })
  })
  assert.equal(
    requests.map(({ target }) => target.split('?')[1]),
    ['durability=immediate&expectedOffset=0', 'durability=immediate&expectedOffset=2'],
  )
})

sender(
  'a batch that was not applied is sent again after the time the server asks for',
  async () => {
    const accept = accepting()
    const busy = problem(503, 'overloaded', { outcome: 'not_applied' })
    const script = (request: ScriptedRequest, index: number) => (index < 2 ? busy : accept(request))
    const requests = await withScript(script, async url => {
      const { appended: sum, waits } = await sendNumbers(url, 2)
      assert.equal([sum.records, waits], [2, [1000, 1000]])
    })
    assert.equal(requests.map(bodies), ['01', '01', '01'])
  },
)

sender('a server that stays busy is given up', async () => {
  const busy = problem(429, 'too_many_requests', { outcome: 'not_applied' })
  await withScript(
    () => busy,
    async url => {
      const { failure, waits } = await sendNumbers(url, 1)
      assert.equal([failure?.outcome, waits.length], ['not_applied', 60])
    },
  )
})

sender('a batch of unknown outcome is never sent again', async () => {
  const script = () => problem(503, 'shard_failed', { outcome: 'unknown' })
  const requests = await withScript(script, async url => {
    const { failure, appended: sum } = await sendNumbers(url, 5)
    assert.equal([failure?.outcome, failure?.batch.count, sum.records], ['unknown', 2, 0])
  })
  assert.is(requests.length, 1)
})

sender('a busy answer that does not say what became of the batch ends it', async () => {
  const requests = await withScript(
    () => problem(503, 'overloaded'),
    async url => assert.is((await sendNumbers(url, 1)).failure?.outcome, 'unknown'),
  )
  assert.is(requests.length, 1)
})

sender('a lost connection leaves the batch in doubt, and what went before it stands', async () => {
  const accept = accepting()
  const script = (request: ScriptedRequest, index: number) =>
    index === 1 ? 'reset' : accept(request)
  const requests = await withScript(script, async url => {
    const { appended: sum, failure, error } = await sendNumbers(url, 6)
    assert.equal([sum.records, failure?.outcome], [2, 'unknown'])
    assert.match(error?.message ?? '', 'the connection was lost')
  })
  assert.is(requests.length, 2)
})

sender('a refusal ends the sending', async () => {
  const script = () => problem(412, 'offset_mismatch', { nextOffset: 9 })
  await withScript(script, async url => {
    const { failure, error } = await sendNumbers(url, 3)
    assert.is(failure?.outcome, 'not_applied')
    assert.is(error?.message, 'offset_mismatch: offset_mismatch happened (nextOffset 9)')
  })
})

sender('a refused connection means that nothing was applied', async () => {
  const { failure, error } = await sendNumbers('http://127.0.0.1:1', 1)
  assert.is(failure?.outcome, 'not_applied')
  assert.match(error?.message ?? '', 'Is the server running?')
})

sender('an answer that is not durable makes the sum not durable', async () => {
  const script = (_: ScriptedRequest, index: number) => appended(index * 2, 2, index !== 0)
  await withScript(script, async url => {
    assert.is((await sendNumbers(url, 4)).appended.durable, false)
  })
})

sender.run()
