import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DirectoryLock } from '../../../src/main/directory-lock.ts'
import type { PublicKey } from '../../../src/shared/protocol/streams.ts'
import { runCommand } from '../../support/command.ts'

const keys = suite('main/cli/keys')

async function withData(act: (data: string) => Promise<void>): Promise<void> {
  const data = mkdtempSync(join(tmpdir(), 'varve-keys-'))
  writeFileSync(join(data, 'varve.json'), '')
  try {
    await act(data)
  } finally {
    rmSync(data, { recursive: true })
  }
}

async function keysOf(...args: string[]): Promise<{ keys: PublicKey[]; replaced: string | null }> {
  const { code, stdout, stderr } = await runCommand(['keys', ...args, '--json'])
  assert.is(code, 0, stderr)
  return JSON.parse(stdout.toString()) as { keys: PublicKey[]; replaced: string | null }
}

keys('a rotation makes a key, the next one keeps the public half of the old', async () => {
  await withData(async data => {
    const first = await keysOf('rotate', '--data', data)
    const second = await keysOf('rotate', '--data', data)
    const listed = await keysOf('--data', data)

    assert.equal(
      first.keys.map(({ active }) => active),
      [true],
    )
    assert.is(second.replaced, first.keys[0]?.keyId)
    assert.equal(listed.keys, second.keys)
    assert.is(listed.keys.filter(({ active }) => active).length, 1)
    assert.is(listed.keys.length, 2)
  })
})

keys('key files are for their owner alone', async () => {
  await withData(async data => {
    await keysOf('rotate', '--data', data)
    const directory = join(data, 'keys')
    const modes = readdirSync(directory).map(name => statSync(join(directory, name)).mode & 0o777)
    assert.equal([statSync(directory).mode & 0o777, ...modes], [0o700, 0o600, 0o600])
  })
})

keys('a rotation needs the directory for itself', async () => {
  await withData(async data => {
    const lock = DirectoryLock.take(data)
    const { code, stderr } = await runCommand(['keys', 'rotate', '--data', data])
    lock.release()
    assert.is(code, 1)
    assert.match(stderr, 'another process is serving the data directory')
    assert.not(existsSync(join(data, 'keys')))
  })
})

keys('what is no data directory is refused and not made', async () => {
  await withData(async data => {
    const none = join(data, 'none')
    const { code, stderr } = await runCommand(['keys', 'rotate', '--data', none])
    assert.is(code, 1)
    assert.match(stderr, 'is no data directory')
    assert.not(existsSync(none))
    assert.is((await runCommand(['keys', '--data', none])).code, 1)
  })
})

keys('a public key that is damaged is named', async () => {
  await withData(async data => {
    mkdirSync(join(data, 'keys'))
    const name = `${'0'.repeat(32)}.pub`
    writeFileSync(join(data, 'keys', name), 'nothing')
    const { code, stderr } = await runCommand(['keys', '--data', data])
    assert.is(code, 1)
    assert.match(stderr, `keys/${name} does not hold the key that its name says`)
  })
})

keys.run()
