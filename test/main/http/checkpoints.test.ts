import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { STREAM_CONFIG_DEFAULT } from '../../../src/shared/limits.ts'
import { type TestServer, withServer } from '../../support/http-server.ts'
import { isSigned, type SignedCheckpoint } from '../../support/signed-checkpoint.ts'

const checkpoints = suite('main/http/checkpoints')
const URL = '/v1/streams/a/checkpoints'

checkpoints('a checkpoint is written, and verifies with nothing but what is served', () =>
  withServer(async server => {
    const appended = await server.append('a', 'application/x-ndjson', '1\n2\n')
    const { status, body } = await server.send('POST', URL)
    assert.is(status, 200)
    assert.is(Object.keys(body).toSorted().join(), MEMBERS)
    const checkpoint = body as unknown as SignedCheckpoint & { timestamp: string }
    assert.equal([checkpoint.offset, checkpoint.recordCount], [2, 2])
    assert.is(checkpoint.chainHead, appended.body.chainHead)
    assert.match(checkpoint.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    assert.is(Date.parse(checkpoint.timestamp), Math.floor(checkpoint.timestampMicros / 1000))
    const { keys = [] } = (await server.send('GET', '/v1/keys')).body
    assert.ok(isSigned(checkpoint, keys))
    assert.not.ok(isSigned({ ...checkpoint, offset: 3 }, keys))
  }),
)

checkpoints('a checkpoint changes the chain head and no offset', () =>
  withServer(async server => {
    await server.append('a', 'text/plain', 'x')
    await server.send('POST', URL)
    const { body } = await server.send('GET', '/v1/streams/a')
    assert.is(body.nextOffset, 1)
    const verified = await server.send('GET', '/v1/streams/a/verify')
    assert.equal([verified.body.ok, verified.body.chainHead], [true, body.chainHead])
    const page = await server.read('a')
    assert.equal([page.body.records?.length, page.body.tailOffset], [1, 1])
  }),
)

checkpoints('a stream that did not change has the checkpoint that it has', () =>
  withServer(async server => {
    await server.append('a', 'text/plain', 'x')
    const first = await server.send('POST', URL)
    assert.equal((await server.send('POST', URL)).body, first.body)
    assert.is((await server.send('GET', URL)).body.checkpoints?.length, 1)
  }),
)

checkpoints('checkpoints are listed page by page', () =>
  withEvery(1, async server => {
    await server.append('a', 'text/plain', 'x')
    for (const text of ['y', 'z']) await server.append('a', 'text/plain', text)
    const all = await server.send('GET', URL)
    assert.equal([all.status, Object.keys(all.body).join()], [200, 'stream,checkpoints,next'])
    assert.equal([all.body.stream, offsets(all.body), all.body.next], ['a', [1, 2, 3], null])
    const first = await server.send('GET', `${URL}?limit=2`)
    assert.equal([offsets(first.body), first.body.next], [[1, 2], 3])
    const second = await server.send('GET', `${URL}?limit=2&from=${first.body.next}`)
    assert.equal([offsets(second.body), second.body.next], [[3], null])
    assert.equal(offsets((await server.send('GET', `${URL}?from=4`)).body), [])
    const { keys = [] } = (await server.send('GET', '/v1/keys')).body
    assert.ok(all.body.checkpoints?.every(checkpoint => isSigned(checkpoint, keys)))
  }),
)

checkpoints('a stream without checkpoints has an empty list', () =>
  withServer(async server => {
    await server.append('a', 'text/plain', 'x')
    const { status, body } = await server.send('GET', URL)
    assert.equal([status, body], [200, { stream: 'a', checkpoints: [], next: null }])
  }),
)

checkpoints('a query that the contract does not know is refused', () =>
  withServer(async server => {
    await server.append('a', 'text/plain', 'x')
    for (const query of BAD_QUERIES) {
      const { status, body } = await server.send('GET', `${URL}?${query}`)
      assert.equal([status, body.code], [400, 'invalid_request'], query)
    }
    for (const query of ['limit=1', 'limit=1000', 'from=9007199254740991']) {
      assert.is((await server.send('GET', `${URL}?${query}`)).status, 200, query)
    }
  }),
)

checkpoints('a stream that is not there, and a name that is none, have their codes', () =>
  withServer(async server => {
    for (const method of ['GET', 'POST']) {
      const missing = await server.send(method, URL)
      assert.equal([missing.status, missing.body.code], [404, 'stream_not_found'])
      const bad = await server.send(method, '/v1/streams/%2F/checkpoints')
      assert.equal([bad.status, bad.body.code], [400, 'invalid_stream_name'])
    }
    await server.append('é/b', 'text/plain', 'x')
    const { body } = await server.send('POST', '/v1/streams/%C3%A9%2Fb/checkpoints')
    assert.is(body.stream, 'é/b')
  }),
)

checkpoints('reads are verified from the nearest checkpoint, and show hashes', () =>
  withEvery(2, async server => {
    for (let index = 0; index < 5; index += 1) await server.append('a', 'text/plain', `${index}`)
    const genesis = await server.read('a', '?verify=genesis')
    const near = await server.read('a', '?verify=checkpoint&from=3')
    assert.equal(near.body.records, genesis.body.records?.slice(3))
    assert.match(near.body.records?.[0]?.hash ?? '', /^[0-9a-f]{64}$/)
    const one = await server.send('GET', '/v1/streams/a/records/4?verify=checkpoint')
    assert.equal(one.body, genesis.body.records?.[4])
    const lines = await server.read('a', '?verify=checkpoint&from=4', 'application/x-ndjson')
    assert.ok(lines.text.includes('"hash":"'))
  }),
)

checkpoints('a part of the chain is verified from the nearest checkpoint', () =>
  withEvery(2, async server => {
    for (let index = 0; index < 5; index += 1) await server.append('a', 'text/plain', `${index}`)
    const anchors = ['', '?from=1', '?from=3'].map(async query => {
      const { body } = await server.send('GET', `/v1/streams/a/verify${query}`)
      return [body.ok, body.anchor]
    })
    assert.equal(await Promise.all(anchors), [
      [true, 'genesis'],
      [true, 'genesis'],
      [true, 'checkpoint'],
    ])
  }),
)

checkpoints('checkpoints that were asked for are counted', () =>
  withServer(async server => {
    await server.append('a', 'text/plain', 'x')
    await server.send('POST', URL)
    await server.send('POST', '/v1/streams/b/checkpoints')
    await server.whenMetric('varve_checkpoints_requested_total 1')
  }),
)

const MEMBERS =
  'chainHead,change,keyId,offset,recordCount,signature,stateHash,stream,streamId,timestamp,' +
  'timestampMicros,trimPoint'

const BAD_QUERIES = [
  'limit=0',
  'limit=1001',
  'limit=x',
  'limit=1&limit=2',
  'from=-1',
  'from=start',
  'from=',
  'from=9007199254740992',
  'other=1',
]

/** A server whose streams have a checkpoint every so many records. */
function withEvery(checkpointEvery: number, run: (server: TestServer) => Promise<void>) {
  return withServer(run, {}, { defaults: { ...STREAM_CONFIG_DEFAULT, checkpointEvery } })
}

function offsets({ checkpoints: list }: { checkpoints?: SignedCheckpoint[] }) {
  return list?.map(({ offset }) => offset)
}

checkpoints.run()
