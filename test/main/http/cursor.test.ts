import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { jsonBody, type TestServer, withServer } from '../../support/http-server.ts'
import { batchOf } from '../../support/store-helpers.ts'

const cursor = suite('main/http/cursor')

const ZEROS = '0'.repeat(64)
const READ_TYPES = [
  'application/json',
  'application/x-ndjson',
  'application/vnd.varve.batch',
] as const

cursor('a page in any format says which stream it is of, and the hash of its last record', () =>
  withServer(async server => {
    const { body } = await fill(server, 3)
    for (const accept of READ_TYPES) {
      const { headers } = await server.send('GET', `${RECORDS}?from=1`, { headers: { accept } })
      assert.is(headers.get('varve-stream-id'), body.streamId, accept)
      assert.is(headers.get('varve-last-hash'), body.recordHash, accept)
    }
    const { body: page } = await server.send('GET', RECORDS)
    assert.equal([page.streamId, page.lastHash], [body.streamId, body.recordHash])
    const one = await server.send('GET', `${RECORDS}/2`)
    assert.is(one.headers.get('varve-last-hash'), body.recordHash)
  }),
)

cursor('an empty page has the hash of the record before it, zeros at 0', () =>
  withServer(async server => {
    await server.send('PUT', '/v1/streams/a')
    assert.is((await server.send('GET', RECORDS)).body.lastHash, ZEROS)
    const { body } = await fill(server, 2)
    const { body: page } = await server.send('GET', `${RECORDS}?from=2`)
    assert.is(page.lastHash, body.recordHash)
  }),
)

cursor('a reader goes on with the cursor of any page, of an append, and from the start', () =>
  withServer(async server => {
    const { body: appended } = await fill(server, 5)
    let from = 0
    let after: string | null | undefined = ZEROS
    while (from < 5) {
      const { status, body } = await go(server, from, after, '&limit=2')
      assert.is(status, 200)
      ;({ nextOffset: from = 0, lastHash: after } = body)
    }
    assert.is((await go(server, 5, appended.recordHash)).status, 200)
    const { body: back } = await server.send('GET', `${RECORDS}?from=4&direction=backward&limit=2`)
    assert.is((await go(server, back.nextOffset ?? 0, back.lastHash)).status, 200)
  }),
)

for (const [kind, code] of [
  ['without a cursor', 'stream_deleted'],
  ['with a cursor', 'history_mismatch'],
] as const) {
  cursor(`a wait ${kind} that meets another stream is answered ${code}`, () =>
    withServer(async server => {
      const { body } = await fill(server, 2)
      const query = kind === 'with a cursor' ? `from=2&after=${body.recordHash}` : 'from=end'
      const waiting = server.send('GET', `${RECORDS}?${query}&wait=60000`)
      await server.store.whenWatched()
      // In one turn, so that the read after the wait finds the other stream.
      const removed = server.store.remove('a')
      const append = server.store.append({ stream: 'a', ...batchOf('x', 'y', 'z') })
      await Promise.all([removed, append])
      assert.is((await waiting).body.code, code)
    }),
  )
}

cursor('another hash is refused with the one there is', () =>
  withServer(async server => {
    const { body } = await fill(server, 2)
    for (const [from, after] of [
      [2, ZEROS],
      [0, body.recordHash],
      [9, body.recordHash],
    ] as const) {
      const refused = await go(server, from, after)
      assert.equal([refused.status, refused.body.code], [409, 'history_mismatch'], `${from}`)
      assert.is(refused.body.streamId, body.streamId)
      assert.is(refused.body.actualHash, from === 0 ? ZEROS : body.recordHash)
    }
  }),
)

cursor('a stream that was deleted and created again is noticed by who goes on in it', () =>
  withServer(async server => {
    const { body } = await fill(server, 2)
    await server.send('DELETE', '/v1/streams/a')
    await fill(server, 4)
    const refused = await go(server, 2, body.recordHash)
    assert.is(refused.status, 409)
    assert.is.not(refused.body.streamId, body.streamId)
    const shorter = await go(server, 2, body.recordHash)
    assert.is(shorter.body.code, 'history_mismatch')
  }),
)

cursor('a long poll that waits is answered with what follows its cursor', () =>
  withServer(async server => {
    const { body } = await fill(server, 1)
    const waiting = go(server, 1, body.recordHash, '&wait=60000')
    await server.store.whenWatched()
    await fill(server, 1)
    assert.is((await waiting).body.records?.length, 1)
  }),
)

cursor('at the first record kept either hash of the trim point is accepted', () =>
  withServer(async server => {
    await fill(server, 3)
    await server.send('POST', '/v1/streams/a/trim', jsonBody({ before: 3 }))
    const { body: info } = await server.send('GET', '/v1/streams/a')
    const { body: page } = await server.send('GET', RECORDS)
    assert.is((await go(server, 3, page.lastHash)).status, 200)
    assert.is((await go(server, 3, info.chainHead)).status, 200)
    assert.is((await go(server, 3, ZEROS)).status, 409)
  }),
)

cursor('a hash that is none, or has no offset, is a bad request', () =>
  withServer(async server => {
    await fill(server, 1)
    for (const query of ['from=1&after=x', `after=${ZEROS}`, `from=1&after=${ZEROS}0`]) {
      assert.is((await server.send('GET', `${RECORDS}?${query}`)).status, 400, query)
    }
  }),
)

cursor('a page under a signature says so', () =>
  withServer(async server => {
    await fill(server, 2)
    await server.send('POST', '/v1/streams/a/checkpoints')
    await fill(server, 2)
    for (const verify of ['checkpoint', 'genesis']) {
      const { body, headers } = await server.send('GET', `${RECORDS}?verify=${verify}`)
      assert.equal([body.signedThrough, headers.get('varve-signed-through')], [2, '2'], verify)
    }
    const { body } = await server.send('GET', RECORDS)
    assert.is(body.signedThrough, undefined)
  }),
)

const RECORDS = '/v1/streams/a/records'

function fill(server: TestServer, count: number) {
  const lines = Array.from({ length: count }, (_, at) => `{"at":${at}}\n`)
  return server.append('a', 'application/x-ndjson', lines.join(''))
}

function go(server: TestServer, from: number, after: string | null | undefined, more = '') {
  return server.send('GET', `${RECORDS}?from=${from}&after=${after}${more}`)
}

cursor.run()
