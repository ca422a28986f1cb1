import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseConfig } from '../../../src/main/config.ts'
import { Service } from '../../../src/main/service.ts'
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

verify.run()
