import { spawnSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { compressBody, CompressionCode } from '../../src/shared/format/compression.ts'
import type { FlatDisk } from '../support/flat-disk.ts'
import { changedStore } from '../support/changed-store.ts'
import { forgeEntry, forgeState, swapFields, swapNames } from '../support/forger.ts'
import {
  recordsIn,
  referencedStore,
  segmentOf,
  StoreMaker,
  unwrittenStore,
} from '../support/inspected-store.ts'
import { Random } from '../support/random.ts'

type Report = {
  readonly ok: boolean
  readonly shards: number
  readonly streams: Readonly<Record<string, unknown>>
  readonly checkpoints: number
  readonly findings: readonly string[]
}

const CHILD = fileURLToPath(import.meta.resolve('../support/store-child.js'))
const VERIFIER = resolve(import.meta.dirname, '../../../test/support/verify.py')
/** What Python brings along, of what a verifier may use. */
const STANDARD = new Set(['base64', 'hashlib', 'json', 'os', 're', 'struct', 'sys', 'zlib'])

const SEED = 20_261_121
const WORDS = ['a', 'varve ', '{"level":30}', 'é', '0123456789abcdef']
/** Prints how many lines of block and body, in hex, are each other. */
const EXPAND_LINES = `
import sys
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import verify
pairs = [[bytes.fromhex(part) for part in line.split()] for line in sys.stdin]
print(sum(verify.lz4_block(block, len(body)) == body for block, body in pairs))
`

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

/** What the verifier says of a store in memory. */
function verifyCopy(disk: FlatDisk): ReturnType<typeof verify> {
  const data = mkdtempSync(join(tmpdir(), 'varve-other-language-'))
  try {
    for (const path of disk.paths()) {
      mkdirSync(dirname(join(data, path)), { recursive: true })
      writeFileSync(join(data, path), disk.content(path))
    }
    return verify(data)
  } finally {
    rmSync(data, { recursive: true, force: true })
  }
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
      assert.ok(report.checkpoints > 50, 'signatures were checked')
    })
  })
}

withPython('one flipped bit is found wherever it counts', () => {
  withStore('kill', data => {
    for (const ending of ['segment_000000.log', '00/catalogue', 'manifest.json', 'varve.json']) {
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

withPython('it expands what LZ4 made here, whatever its lengths', () => {
  const random = new Random(SEED)
  const bodies = Array.from({ length: 200 }, () => {
    const word = () => random.pick(WORDS).repeat(random.below(random.pick([2, 10, 300])))
    return Buffer.from(Array.from({ length: random.below(50) }, word).join(''))
  })
  const blocks = bodies.map(body => compressBody(CompressionCode.Lz4, body, 0, body.length))
  const lines = blocks.flatMap((block, index) =>
    block === undefined ? [] : [`${block.toString('hex')} ${bodies[index]?.toString('hex')}`],
  )
  const { stdout, stderr } = spawnSync('python3', ['-c', EXPAND_LINES, dirname(VERIFIER)], {
    input: lines.join('\n'),
    encoding: 'utf8',
  })
  assert.is(stderr, '')
  assert.ok(lines.length > 100)
  assert.is(stdout.trim(), String(lines.length), `seed ${SEED}`)
})

withPython('exchanged keys are found', () => {
  withStore('close', data => {
    const [path = ''] = filesOf(data, '.pub')
    renameSync(path, join(data, 'keys', `${'0'.repeat(32)}.pub`))
    const { findings } = verify(data).report
    assert.match(findings[0] ?? '', 'not the key that its name says')
    assert.ok(findings.some(finding => finding.includes('which is not in keys/')))
  })
})

withPython('names of two streams that were swapped are found', () => {
  const maker = new StoreMaker()
  for (const stream of ['orders', 'invoices', 'sound']) maker.append(stream, 6)
  maker.stop()
  const { disk } = maker.copy()
  assert.ok(verifyCopy(disk).report.ok)
  swapNames(disk, 'orders', 'invoices')
  const { findings } = verifyCopy(disk).report
  const reason = 'its id is of another name or state at creation'
  assert.equal(findings.toSorted(), [`stream invoices: ${reason}`, `stream orders: ${reason}`])
})

withPython('a state that was altered is found, and changes that were signed are none', () => {
  const { disk } = changedStore().copy()
  assert.equal(verifyCopy(disk).report.findings, [])
  swapFields(disk, 'created', 'configured', ['config'])
  forgeEntry(disk, 'closed', entry => forgeState(entry, { closed: false }))
  forgeEntry(disk, 'other', () => ({ createdAt: 1 }))
  const notSigned = 'its state is not what was signed'
  const found = verifyCopy(disk).report.findings.map(finding => finding.slice('stream '.length))
  assert.equal(found.toSorted(), [
    "closed: the state's checkpoint has a wrong signature",
    `configured: ${notSigned}`,
    `created: ${notSigned}`,
    `other: ${notSigned}`,
  ])
})

withPython('records that the journal only refers to are verified where they lie', () => {
  const { report, status } = verifyCopy(referencedStore())
  assert.equal([status, report.findings], [0, []])
  assert.match(JSON.stringify(report.streams['orders']), '"records":4')
})

withPython('records that could not be written to a segment are verified in the catalogue', () => {
  const { report, status } = verifyCopy(unwrittenStore())
  assert.equal([status, report.findings], [0, []])
  assert.match(JSON.stringify(report.streams['orders']), '"records":4')
})

for (const index of [1, 2]) {
  withPython(`record ${index} of them, when it is damaged, is named with its segment`, () => {
    const disk = referencedStore()
    const path = segmentOf(disk, 'orders', 0)
    const at = recordsIn(disk.content(path))[index]?.at ?? 0
    disk.change(path, bytes => {
      bytes[at + 80] = (bytes[at + 80] as number) ^ 1
    })
    const { report, status } = verifyCopy(disk)
    assert.is(status, 1)
    assert.match(report.findings.join(' '), path)
  })
}

otherLanguage.run()
