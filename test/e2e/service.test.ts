import { spawnSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { appendText, readTexts } from '../support/client.ts'
import { ENTRY, startServer, withDirectory, withServer } from '../support/server.ts'

const service = suite('e2e/service')

service('a second process on the same directory leaves, and the first goes on', async () => {
  await withServer(async (server, data) => {
    assert.is((await appendText(server.url, 'a', 'before')).status, 200)
    const before = contentOf(data)
    const second = serveOnce(data)
    assert.is(second.status, 1)
    assert.match(second.output, /another process is serving the data directory/)
    assert.equal(contentOf(data), before)
    assert.is((await appendText(server.url, 'a', 'after')).status, 200)
    assert.equal(await readTexts(server.url, 'a'), ['before', 'after'])
  })
})

service('of many processes that start at once on a new directory one serves', async () => {
  await withDirectory(async data => {
    const started = await Promise.allSettled([1, 2, 3].map(() => startServer({ data })))
    const servers = started.flatMap(start => (start.status === 'fulfilled' ? [start.value] : []))
    assert.is(servers.length, 1)
    await Promise.all(servers.map(server => server.kill()))
    const next = await startServer({ data })
    assert.is((await appendText(next.url, 'a', 'x')).status, 200)
    await next.kill()
  })
})

service('a stopped service ends with 0 and has everything at the next start', async () => {
  await withDirectory(async data => {
    const first = await startServer({ data })
    for (const text of ['one', 'two']) await appendText(first.url, 'a/b ü', text)
    assert.is((await appendText(first.url, 'r', 'relaxed', '?durability=relaxed')).status, 200)
    assert.is(await first.stop(), 0)
    const second = await startServer({ data })
    assert.equal(await readTexts(second.url, 'a/b ü'), ['one', 'two'])
    assert.equal(await readTexts(second.url, 'r'), ['relaxed'])
    await second.kill()
  })
})

service('a directory of something else is refused and left as it is', async () => {
  await withDirectory(async data => {
    writeFileSync(join(data, 'letter.txt'), 'mine')
    const { status, output } = serveOnce(data)
    assert.is.not(status, 0)
    assert.match(output, /not empty/)
    assert.is(readFileSync(join(data, 'letter.txt'), 'utf8'), 'mine')
    assert.equal(readdirSync(data), ['letter.txt'])
  })
})

service(
  'a directory is not made where its parent is missing, as of a disk not mounted',
  async () => {
    await withDirectory(async data => {
      const { status, output } = serveOnce(join(data, 'not', 'mounted'))
      assert.is(status, 1)
      assert.match(output, /there is no .*not; mount or create it first/)
      assert.equal(readdirSync(data), [])
    })
  },
)

service('a port in use leaves no new directory behind', async () => {
  await withServer(async ({ url }, data) => {
    const { status, output } = serveOnce(join(data, 'd'), ['--port', new URL(url).port])
    assert.is(status, 1)
    assert.match(output, /the port is in use/)
    assert.not.ok(existsSync(join(data, 'd')))
  })
})

service('a directory of a newer format is refused', async () => {
  await withDirectory(async data => {
    const newer = '{"format":4,"shards":1,"createdAt":0}'
    const { crc32 } = await import('node:zlib')
    const sum = crc32(newer).toString(16).padStart(8, '0')
    writeFileSync(join(data, 'varve.json'), `{"crc32":"${sum}","body":${newer}}\n`)
    const { status, output } = serveOnce(data)
    assert.is.not(status, 0)
    assert.match(output, /format 4/)
  })
})

service('a damaged header is mended by its copy, and refused without one', async () => {
  await withDirectory(async data => {
    const first = await startServer({ data })
    await appendText(first.url, 'a', 'kept')
    await first.stop()
    const header = readFileSync(join(data, 'varve.json'), 'utf8')
    writeFileSync(join(data, 'varve.json'), 'garbage')
    const second = await startServer({ data })
    assert.match(second.output(), /"files":\["varve\.json"\].*were rebuilt/)
    await second.stop()
    assert.is(readFileSync(join(data, 'varve.json'), 'utf8'), header)
    for (const name of ['varve.json', 'varve.copy.json']) writeFileSync(join(data, name), 'garbage')
    assert.match(serveOnce(data).output, /varve\.json and varve\.copy\.json are damaged/)
    assert.is(readFileSync(join(data, 'varve.json'), 'utf8'), 'garbage')
  })
})

service('files and directories are for their owner alone', async () => {
  await withServer(async (server, data) => {
    await appendText(server.url, 'a', 'x')
    assert.is(statSync(join(data, 'varve.json')).mode & 0o777, 0o600)
    assert.is(statSync(join(data, 'journals')).mode & 0o777, 0o700)
  })
})

service('an address that is not loopback is refused without the flag that opens it', async () => {
  await withDirectory(async data => {
    mkdirSync(join(data, 'd'))
    const { status, output } = serveOnce(join(data, 'd'), ['--host', '0.0.0.0'])
    assert.is.not(status, 0)
    assert.match(output, /--open/)
  })
})

/** Hashes of all files but the journals, in which the first process goes on to write. */
function contentOf(data: string): string[] {
  return readdirSync(data, { recursive: true, encoding: 'utf8' })
    .filter(path => !path.startsWith('journals') && statSync(join(data, path)).isFile())
    .map(path => `${path} ${hash('sha256', readFileSync(join(data, path)))}`)
}

/** Runs `serve` where it is expected to refuse; bounded, should it not. */
function serveOnce(data: string, args: string[] = []): { status: number | null; output: string } {
  const all = [ENTRY, 'serve', '--data', data, '--port', '0', ...args]
  const { status, stdout, stderr } = spawnSync(process.execPath, all, {
    encoding: 'utf8',
    timeout: 15_000,
  })
  return { status, output: stdout + stderr }
}

service.run()
