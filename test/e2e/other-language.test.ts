import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

type Report = {
  readonly ok: boolean
  readonly shards: number
  readonly streams: Readonly<Record<string, unknown>>
  readonly findings: readonly string[]
}

const CHILD = fileURLToPath(import.meta.resolve('../support/store-child.js'))
const VERIFIER = resolve(import.meta.dirname, '../../../test/support/verify.py')
/** What Python brings along, of what a verifier may use. */
const STANDARD = new Set(['hashlib', 'json', 'os', 're', 'struct', 'sys', 'zlib'])

const python = spawnSync('python3', ['--version'])
const hasPython = python.error === undefined && python.status === 0

function withStore(end: 'close' | 'kill', use: (data: string, answered: unknown) => void): void {
  const data = mkdtempSync(join(tmpdir(), 'varve-other-language-'))
  try {
    const child = spawnSync(process.execPath, [CHILD, data, end], { encoding: 'utf8' })
    const expected = end === 'kill' ? 'SIGKILL' : null
    assert.is(child.signal, expected, child.stderr)
    use(data, JSON.parse(child.stdout))
  } finally {
    rmSync(data, { recursive: true, force: true })
  }
}

function verify(data: string): { status: number | null; report: Report } {
  const { status, stdout, stderr } = spawnSync('python3', [VERIFIER, data], { encoding: 'utf8' })
  assert.is(stderr, '')
  return { status, report: JSON.parse(stdout) as Report }
}

/** Paths of the files below `data` whose path ends so. */
function filesOf(data: string, ending: string): string[] {
  const names = readdirSync(data, { recursive: true, encoding: 'utf8' })
  return names.filter(name => name.endsWith(ending)).map(name => join(data, name))
}

function flipByte(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at] = (bytes[at] as number) ^ 1
  writeFileSync(path, bytes)
}

const otherLanguage = suite('e2e/other-language')

function withPython(name: string, test: () => void): void {
  if (hasPython) otherLanguage(name, test)
  else otherLanguage.skip(`${name} (there is no python3)`, test)
}

otherLanguage('the verifier is written with the standard library alone', () => {
  const imports = [...readFileSync(VERIFIER, 'utf8').matchAll(/^(?:from|import) (\w+)/gm)]
  assert.equal(new Set(imports.map(([, name]) => name)), STANDARD)
})

for (const end of ['close', 'kill'] as const) {
  withPython(`after a ${end} it finds what was answered as durable`, () => {
    withStore(end, (data, answered) => {
      const { status, report } = verify(data)
      assert.equal(report.findings, [])
      assert.equal(report.streams, answered)
      assert.equal([report.ok, report.shards, status], [true, 2, 0])
      assert.ok(filesOf(data, 'segment_000001.log').length > 2, 'streams have rolled')
    })
  })
}

withPython('one flipped bit is found wherever it counts', () => {
  withStore('kill', data => {
    for (const ending of ['segment_000000.log', 'catalogue', 'manifest.json', 'varve.json']) {
      const path = filesOf(data, ending)[0] ?? ''
      flipByte(path, 70)
      const { status, report } = verify(data)
      assert.equal([report.ok, status], [false, 1], path)
      assert.ok(report.findings.length > 0)
      flipByte(path, 70)
    }
    assert.ok(verify(data).report.ok)
  })
})

otherLanguage.run()
