import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { appendText, readTexts } from '../support/client.ts'
import { type RunningServer, startServer, withDirectory } from '../support/server.ts'

const MIB = 1024 * 1024
const ARGS = [
  '--disk-reserve-bytes',
  '4MiB',
  '--journal-file-bytes',
  '4MiB',
  '--slot-bytes',
  '1MiB',
]

const full = suite('e2e/disk-full')

full('appends stop on a full disk with 507 and go on by themselves, reads never stop', async () => {
  await withDirectory(async directory => {
    const mount = join(directory, 'small')
    if (!mountSmall(mount)) return assert.ok(true, 'mounting is not allowed here')
    const server = await startServer({ data: join(mount, 'data'), args: ARGS })
    try {
      await appendText(server.url, 's', 'before')
      writeFileSync(join(mount, 'ballast'), Buffer.alloc(58 * MIB))
      assert.equal(await untilStatus(server, 507), { code: 'disk_full', outcome: 'not_applied' })
      assert.ok((await readTexts(server.url, 's')).includes('before'))
      rmSync(join(mount, 'ballast'))
      await untilStatus(server, 200)
      assert.is(await server.stop(), 0)
    } finally {
      await server.kill()
      spawnSync('umount', [mount])
    }
  })
})

function mountSmall(path: string): boolean {
  mkdirSync(path)
  const args = ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', path]
  return spawnSync('mount', args).status === 0
}

/** Appends until one is answered with `status`; returns its problem's code and outcome. */
async function untilStatus(server: RunningServer, status: number): Promise<object> {
  for (let tries = 0; tries < 200; tries += 1) {
    const response = await appendText(server.url, 's', 'x')
    const { code, outcome } = (await response.json()) as { code?: string; outcome?: string }
    if (response.status === status) return { code, outcome }
    await new Promise(done => {
      setTimeout(done, 50)
    })
  }
  throw new Error(`no append was answered with ${status}`)
}

full.run()
