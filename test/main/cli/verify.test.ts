import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { pino } from 'pino'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseConfig } from '../../../src/main/config.ts'
import { Service } from '../../../src/main/service.ts'
import { hexToLatin1, latin1ToHex } from '../../../src/shared/format/bytes.ts'
import { signedBytes, StateChange } from '../../../src/shared/format/checkpoint.ts'
import { publicKeyToPem, Signer } from '../../../src/shared/signing.ts'
import { runCommand } from '../../support/command.ts'

const verify = suite('main/cli/verify')

/** Runs with a data directory that holds one stream of three records, and with its segment. */
async function withDirectory(run: (data: string, segment: string) => Promise<void>): Promise<void> {
  const data = mkdtempSync(join(tmpdir(), 'varve-verify-'))
  try {
    const config = parseConfig({ flags: { data, port: 0 }, env: {} })
    const service = await Service.open(config, pino({ level: 'silent' }))
    const input = ['one\ntwo\nthree\n']
    await runCommand(['append', 's', '--lines', '--url', service.url], { input })
    await service.close()
    const names = readdirSync(data, { recursive: true, encoding: 'utf8' })
    await run(data, names.find(name => name.endsWith('.log')) ?? '')
  } finally {
    rmSync(data, { recursive: true })
  }
}

const KEY = Signer.fromSeed('k'.repeat(32))

/** A checkpoint of another stream, as the service would give it. */
function headOf(stream: string): object {
  const hash = '0'.repeat(64)
  const fields = { streamId: '1'.repeat(32), offset: 3, recordCount: 3, timestampMicros: 7000 }
  const trimPoint = { offset: 0, chainHead: hash }
  const message = signedBytes({
    ...fields,
    streamId: hexToLatin1(fields.streamId),
    timestamp: fields.timestampMicros,
    chainHead: hexToLatin1(hash),
    trimPoint: { offset: 0, hash: hexToLatin1(hash) },
    stateHash: hexToLatin1(hash),
    change: StateChange.None,
  })
  return {
    stream,
    ...fields,
    timestamp: '1970-01-01T00:00:00.007Z',
    chainHead: hash,
    trimPoint,
    stateHash: hash,
    change: 'none',
    signature: latin1ToHex(KEY.sign(message)),
    keyId: latin1ToHex(KEY.keyId),
  }
}

/** Changes a body in place. */
function damage(path: string): void {
  const bytes = readFileSync(path)
  bytes[bytes.indexOf('two')] = 0x54
  writeFileSync(path, bytes)
}

verify('a sound directory is counted through', async () => {
  await withDirectory(async data => {
    const { code, stdout, stderr } = await runCommand(['verify', '--data', data])
    assert.is(code, 0, stderr)
    assert.match(stdout.toString(), '1 shard, 1 stream, 1 segment, 3 records')
    assert.match(stdout.toString(), 'everything checks\n')
  })
})

verify('damage is named with its file, offsets and bytes', async () => {
  await withDirectory(async (data, segment) => {
    damage(join(data, segment))
    const { code, stdout, stderr } = await runCommand(['verify', '--data', data])
    assert.is(code, 1)
    assert.match(stderr, '1 finding of damage')
    assert.match(stdout.toString(), `DAMAGE ${segment} · stream "s" · offsets [1, 2) · bytes [`)
    assert.match(stdout.toString(), 'DAMAGED: 1 finding\n')
  })
})

verify('the report is one JSON object where asked for', async () => {
  await withDirectory(async (data, segment) => {
    damage(join(data, segment))
    const { code, stdout } = await runCommand(['verify', '--json'], { env: { VARVE_DATA: data } })
    const report = JSON.parse(stdout.toString()) as { findings: Record<string, unknown>[] }
    const { severity, file, offsets } = report.findings[0] ?? {}
    assert.is(code, 1)
    assert.equal(
      { severity, file, offsets },
      { severity: 'damage', file: segment, offsets: [1, 2] },
    )
  })
})

verify('a file is printed as text', async () => {
  await withDirectory(async (data, segment) => {
    const { code, stdout } = await runCommand(['inspect', join(data, segment)])
    assert.is(code, 0)
    assert.match(stdout.toString(), '"three"')
  })
})

verify('a head that was kept is held against the log, with the key that was kept', async () => {
  await withDirectory(async data => {
    const [head, key] = [join(data, '..', `${basename(data)}.json`), join(data, 'kept.pub')]
    writeFileSync(key, publicKeyToPem(KEY.publicKey))
    for (const content of [headOf('other'), { stream: 'other', checkpoints: [headOf('other')] }]) {
      writeFileSync(head, JSON.stringify(content))
      const args = ['verify', '--data', data, '--head', head, '--key', key]
      const { code, stdout } = await runCommand(args)
      assert.is(code, 1)
      assert.match(stdout.toString(), 'stream "other" · the stream is not there (head at offset 3)')
      assert.match(stdout.toString(), '1 kept head')
    }
    rmSync(head)
  })
})

verify('heads and keys that are none are usage errors that say why', async () => {
  await withDirectory(async data => {
    const path = join(data, 'kept')
    const cases: [string, unknown, string][] = [
      ['--head', {}, 'stream: '],
      ['--head', { checkpoints: [] }, 'it has no checkpoints'],
      ['--head', { ...headOf('s'), keyId: 'x' }, 'keyId: expected hex'],
      ['--key', {}, 'it is no Ed25519 public key in PEM'],
    ]
    for (const [flag, content, reason] of cases) {
      writeFileSync(path, JSON.stringify(content))
      const { code, stderr } = await runCommand(['verify', '--data', data, flag, path])
      assert.is(code, 2)
      assert.match(stderr, `${path} cannot be used: ${reason}`)
    }
    assert.is((await runCommand(['verify', '--data', data, '--head', `${path}0`])).code, 2)
  })
})

verify.run()
