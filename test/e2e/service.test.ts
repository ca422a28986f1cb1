import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { appendText, readTexts } from '../support/client.ts'
import { ENTRY, startServer, withDirectory, withServer } from '../support/server.ts'

const service = suite('e2e/service')

service('a second process on the same directory leaves, and the first goes on', async () => {
  await withServer(async (server, data) => {
    const second = serveOnce(data)
    assert.is.not(second.status, 0)
    assert.match(second.output, /another process/)
    assert.is((await appendText(server.url, 'a', 'still here')).status, 200)
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
    assert.not.ok(existsSync(join(data, 'journals')))
  })
})

service('a directory of a newer format is refused', async () => {
  await withDirectory(async data => {
    const newer = '{"format":3,"shards":1,"createdAt":0}'
    const { crc32 } = await import('node:zlib')
    const sum = crc32(newer).toString(16).padStart(8, '0')
    writeFileSync(join(data, 'varve.json'), `{"crc32":"${sum}","body":${newer}}\n`)
    const { status, output } = serveOnce(data)
    assert.is.not(status, 0)
    assert.match(output, /format 3/)
  })
})

service('a damaged or missing header is refused, never written anew', async () => {
  await withDirectory(async data => {
    const first = await startServer({ data })
    await appendText(first.url, 'a', 'kept')
    await first.stop()
    writeFileSync(join(data, 'varve.json'), 'garbage')
    assert.match(serveOnce(data).output, /varve\.json is damaged/)
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
