import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KIB, MIB } from '../../src/shared/limits.ts'
import { type RunningServer, withServer } from '../support/server.ts'
import { TailClient } from '../support/tail-client.ts'

const retention = suite('e2e/retention')

const ARGS = ['--retention-interval-ms', '200', '--checkpoint-interval-ms', '200']
const BODY = 'x'.repeat(32 * KIB)
const BOUND = MIB

retention('a bound on the bytes holds on the disk, and what is kept verifies', () =>
  withServer(async (server, data) => {
    await put(server, { maxSegmentBytes: 256 * KIB, retention: { maxBytes: BOUND } })
    let most = 0
    for (let count = 0; count < 400; count += 1) {
      await append(server)
      if (count % 20 === 0) most = Math.max(most, bytesBelow(join(data, 'streams')))
    }
    assert.ok(most < 10 * BOUND, `${most} bytes of 13 million were there at a time`)
    await until(() => bytesBelow(join(data, 'streams')) < 2 * BOUND)
    const { firstOffset, recordBytes } = await get(server, '')
    assert.ok(firstOffset > 300 && recordBytes >= BOUND, `${firstOffset}, ${recordBytes} bytes`)
    const report = await get(server, '/verify')
    assert.equal([report.ok, report.anchor], [true, 'trim'])
    const gone = await fetch(`${server.url}/v1/streams/s/records?from=0`)
    const problem = (await gone.json()) as { code: string; firstOffset: number }
    assert.equal([gone.status, problem.code], [410, 'trimmed'])
    const refused = await TailClient.refusal(server.url, 's', '?from=0')
    assert.equal([refused.status, refused.body.code], [410, 'trimmed'])
  }, ARGS),
)

retention('a subscriber that was inside what goes hears of it, and is closed with 4010', () =>
  withServer(async server => {
    await put(server, {})
    for (let count = 0; count < 250; count += 1) await append(server)
    const client = new TailClient(server.url, 's', '?from=start')
    client.socket.on('open', () => client.socket.pause())
    await until(() => client.socket.isPaused)
    const trim = { method: 'POST', body: '{"before":250}' }
    const headers = { 'content-type': 'application/json' }
    await fetch(`${server.url}/v1/streams/s/trim`, { ...trim, headers })
    client.socket.resume()
    assert.is(await client.closed, 4010)
    const { type, code } = client.messages.at(-1) ?? {}
    assert.equal([type, code], ['error', 'trimmed'])
    assert.ok(client.offsets.every((offset, at) => offset === at))
  }, ARGS),
)

type Answer = {
  readonly firstOffset: number
  readonly recordBytes: number
  readonly ok: boolean
  readonly anchor: string
}

async function put({ url }: RunningServer, options: object): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify(options)
  const { status } = await fetch(`${url}/v1/streams/s`, { method: 'PUT', headers, body })
  assert.is(status, 201)
}

async function append({ url }: RunningServer): Promise<void> {
  const headers = { 'content-type': 'text/plain' }
  const request = { method: 'POST', headers, body: BODY }
  const response = await fetch(`${url}/v1/streams/s/records`, request)
  assert.is(response.status, 200)
  await response.arrayBuffer()
}

async function get({ url }: RunningServer, path: string): Promise<Answer> {
  return (await (await fetch(`${url}/v1/streams/s${path}`)).json()) as Answer
}

function bytesBelow(directory: string): number {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' })
  const sizes = names.map(name => statSync(join(directory, name), { throwIfNoEntry: false })?.size)
  return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0)
}

async function until(isMet: () => boolean): Promise<void> {
  while (!isMet()) {
    await new Promise(done => {
      setTimeout(done, 50)
    })
  }
}

retention.run()
