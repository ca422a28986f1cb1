import { spawnSync } from 'node:child_process'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { appendText, readTexts } from '../support/client.ts'
import { appendHead, get, RawClient } from '../support/raw-client.ts'
import { startServer, withDirectory } from '../support/server.ts'

const door = suite('e2e/door')

door('one half-sent request and one unread answer do not spoil a clean stop', () =>
  withDirectory(async data => {
    const server = await startServer({ data, args: ['--shutdown-ms', '6000'] })
    for (const text of ['one', 'x'.repeat(8_000_000)]) await appendText(server.url, 'a', text)
    const half = new RawClient(server.url).send(`${appendHead('Content-Length: 9')}x`)
    const unread = new RawClient(server.url).send(get('/v1/streams/a/records?maxBytes=8000003'))
    unread.socket.pause()
    await appendText(server.url, 'b', 'last', '?durability=relaxed')
    assert.is(await server.stop(), 0)
    await half.closed
    unread.socket.destroy()
    const again = await startServer({ data })
    assert.equal(await readTexts(again.url, 'b'), ['last'])
    await again.kill()
  }),
)

door('connections that take every file descriptor stop nothing for good', () =>
  withDirectory(async data => {
    if (spawnSync('prlimit', ['--version']).status !== 0) return skip('prlimit is not there')
    const wrapper = ['prlimit', `--nofile=${DESCRIPTORS}`]
    const server = await startServer({ data, wrapper })
    await appendText(server.url, 'a', 'before')
    const clients = Array.from({ length: DESCRIPTORS }, () => new RawClient(server.url))
    await Promise.race(clients.map(({ closed }) => closed)) // the first that found no room
    for (const { socket } of clients) socket.destroy()
    assert.is((await appendText(server.url, 'a', 'after')).status, 200)
    assert.is(await server.stop(), 0)
  }),
)

/** Enough for the service, and for a hundred connections. */
const DESCRIPTORS = 150

function skip(reason: string): void {
  process.stdout.write(`skipped: ${reason}\n`)
}

door.run()
