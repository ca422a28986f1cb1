import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { WebSocket } from 'ws'
import { HTTP_CONFIG_DEFAULTS } from '../../../src/main/http/http-config.ts'
import { PartialMessages } from '../../../src/main/http/partial-messages.ts'
import { openServer } from '../../../src/main/http/server.ts'
import { openLog } from '../../../src/main/observe/log.ts'
import { withServer } from '../../support/http-server.ts'
import { MemoryStore } from '../../support/memory-store.ts'
import { get, RawClient } from '../../support/raw-client.ts'

const partial = suite('main/http/partial-messages')

partial('half a frame is cut off on both WebSockets, and gives back what it held', () =>
  withServer(
    async ({ url, append, whenMetric }) => {
      await append('a', 'text/plain', 'x')
      for (const target of TARGETS) {
        const client = await open(url, target)
        client.send(HALF_FRAME)
        await client.closed
        assert.ok(client.answer.includes(CLOSE_4008), target)
      }
      await whenMetric('varve_request_body_bytes 0')
      await whenMetric('varve_sessions 0')
      await whenMetric('varve_subscribers 0')
    },
    { requestIdleMs: 20 },
  ),
)

partial('a message that dribbles is cut off when it takes too long, but not by a pause', () => {
  let nowMs = 0
  const late: number[] = []
  const messages = new PartialMessages(50, 60, () => nowMs)
  const socket = Object.assign(new EventEmitter(), { isPaused: false }) as unknown as WebSocket
  const connection = new EventEmitter() as Socket
  messages.watch(socket, connection, () => late.push(nowMs))
  const dribble = (stepMs: number) => {
    connection.emit('data', Buffer.from('x'))
    nowMs += stepMs
    messages.sweep()
  }
  dribble(1_000_000) // the process was stopped, so nothing could arrive
  assert.equal(late, [])
  const begunMs = nowMs
  while (late.length === 0) dribble(5)
  assert.ok(nowMs - begunMs <= 60)
  messages.close()
})

partial('whole messages and silence are no reason to be cut off', () =>
  withServer(
    async ({ url, append, server }) => {
      await append('a', 'text/plain', 'x')
      const clients = await Promise.all(TARGETS.map(target => open(url, target)))
      for (const client of clients) client.send(PING)
      await setTimeout(60)
      for (const client of clients) {
        assert.not.ok(client.answer.includes(CLOSE_4008))
        assert.not.ok(client.socket.destroyed)
        client.socket.destroy()
      }
      assert.match(await server.metrics.render(), /varve_sessions 1/)
    },
    { requestIdleMs: 20 },
  ),
)

partial('a client that breaks the protocol is no error of the service', async () => {
  const store = new MemoryStore()
  let logged = ''
  const write = (line: string) => {
    logged += line
    return true
  }
  const logger = openLog({ logLevel: 'debug', logFormat: 'json' }, { write })
  const config = { ...HTTP_CONFIG_DEFAULTS, port: 0 }
  const server = await openServer({ store, config, logger })
  await store.create('a', config.streamDefaults)
  for (const target of TARGETS) {
    const client = await open(server.url, target)
    client.send(Buffer.from([0xff, 0xff, 0xff, 0xff]))
    await client.closed
  }
  await server.close()
  await store.close()
  assert.not.match(logged, /"level":[456]0|"stack"/)
})

const TARGETS = ['/v1/session', '/v1/streams/a/tail']
/** The first of two bytes of length. */
const HALF_FRAME = Buffer.from([0x81, 0xfe, 0x01])
const PING = Buffer.from([0x89, 0x80, 0, 0, 0, 0])
const CLOSE_4008 = Buffer.from([0x0f, 0xa8]).toString('latin1')

async function open(url: string, target: string): Promise<RawClient> {
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
  const upgrade = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', key]
  const client = new RawClient(url).send(get(target, ...upgrade))
  assert.equal(await client.answers(1), [101])
  return client
}

partial.run()
