import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DirectoryLock } from '../../src/main/directory-lock.ts'
import { StoreError } from '../../src/shared/errors.ts'

const lock = suite('main/directory-lock')
const MODULE = new URL('../../src/main/directory-lock.js', import.meta.url).href

async function withDirectory(use: (path: string) => Promise<void> | void): Promise<void> {
  const path = mkdtempSync(join(tmpdir(), 'varve-lock-'))
  try {
    await use(path)
  } finally {
    rmSync(path, { recursive: true })
  }
}

function refusalOf(data: string): string {
  try {
    DirectoryLock.take(data).release()
  } catch (error) {
    if (error instanceof StoreError) return error.message
    throw error
  }
  throw new Error('it was not refused')
}

/** A process that holds the lock until it is killed. */
async function holder(data: string) {
  const program = `const { DirectoryLock } = await import(${JSON.stringify(MODULE)})
    DirectoryLock.take(${JSON.stringify(data)})
    console.log('held')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  return child
}

lock('one holder at a time, in the same process too', () =>
  withDirectory(data => {
    const first = DirectoryLock.take(data)
    assert.match(refusalOf(data), /another process is serving the data directory/)
    first.release()
    const second = DirectoryLock.take(data)
    assert.equal([first.isNew, second.isNew], [true, false])
    second.release()
  }),
)

lock('another process is kept out, and a killed one leaves no obstacle', () =>
  withDirectory(async data => {
    const child = await holder(data)
    const ended = once(child, 'exit')
    try {
      assert.match(refusalOf(data), /another process is serving the data directory/)
    } finally {
      child.kill('SIGKILL')
      await ended
    }
    DirectoryLock.take(data).release()
  }),
)

lock('removing the lock file of a running process lets no other one in', () =>
  withDirectory(data => {
    const first = DirectoryLock.take(data)
    writeFileSync(join(data, 'varve.json'), 'header')
    first.holdHeader()
    rmSync(join(data, 'lock'))
    assert.match(refusalOf(data), /another process is serving the data directory/)
    first.release()
    const second = DirectoryLock.take(data)
    second.holdHeader()
    assert.match(refusalOf(data), /another process is serving the data directory/)
    second.release()
  }),
)

lock('no PATH and no program is needed', () =>
  withDirectory(data => {
    const { PATH } = process.env
    delete process.env['PATH']
    try {
      DirectoryLock.take(data).release()
    } finally {
      process.env['PATH'] = PATH
    }
  }),
)

lock('a directory of something else is left as it is', () =>
  withDirectory(data => {
    writeFileSync(join(data, 'letter.txt'), 'mine')
    assert.match(refusalOf(data), /it is not empty and has no varve\.json/)
    assert.equal(readdirSync(data), ['letter.txt'])
  }),
)

lock('a missing directory is made, but not the ones above it', () =>
  withDirectory(data => {
    DirectoryLock.take(join(data, 'd')).release()
    assert.equal(readdirSync(join(data, 'd')), ['lock'])
    assert.match(refusalOf(join(data, 'not', 'mounted')), /mount or create it first/)
    assert.not.ok(existsSync(join(data, 'not')))
  }),
)

lock('what cannot be locked is not served, and says why', () =>
  withDirectory(data => {
    writeFileSync(join(data, 'file'), '')
    assert.match(refusalOf(join(data, 'file')), /it is not a directory/)
    mkdirSync(join(data, 'd', 'lock'), { recursive: true })
    assert.match(refusalOf(join(data, 'd')), /it cannot be locked: EISDIR/)
  }),
)

lock('a directory without permission says so, and names no port', () =>
  withDirectory(data => {
    chmodSync(data, 0o755)
    mkdirSync(join(data, 'd'), { mode: 0o555 })
    const isRoot = process.geteuid?.() === 0
    if (isRoot) process.seteuid?.(65_534) // root is denied nothing
    try {
      assert.match(refusalOf(join(data, 'd')), /cannot be locked: permission denied/)
    } finally {
      if (isRoot) process.seteuid?.(0)
    }
  }),
)

lock.run()
