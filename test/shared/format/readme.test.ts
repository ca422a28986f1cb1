import { crc32 } from 'node:zlib'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { shardOf } from '../../../src/shared/format/shard-of.ts'
import { BATCH_ITEM_LAYOUT } from '../../../src/shared/format/batch.ts'
import { BLOCK_LAYOUT, BLOCK_MAGIC, BLOCK_VERSION } from '../../../src/shared/format/block.ts'
import { latin1ToHex } from '../../../src/shared/format/bytes.ts'
import {
  CATALOGUE_MAGIC,
  CATALOGUE_VERSION,
  ENTRY_LAYOUT,
  STREAM_ENTRY_LAYOUT,
} from '../../../src/shared/format/catalogue.ts'
import { COMMIT_ENTRY_LAYOUT } from '../../../src/shared/format/commit-entry.ts'
import { CHAIN_INPUT_LAYOUT, chainHashOf } from '../../../src/shared/format/chain.ts'
import {
  CHECKPOINT_BODY_LAYOUT,
  CHECKPOINT_RECORD_BYTES,
  CHECKPOINT_SIGNED_LAYOUT,
} from '../../../src/shared/format/checkpoint.ts'
import { expandRecord } from '../../../src/shared/format/expand.ts'
import { FRAME_LAYOUT, FRAME_MAGIC, FRAME_VERSION } from '../../../src/shared/format/frame.ts'
import { INDEX_MAGIC, INDEX_PAGE_LAYOUT } from '../../../src/shared/format/index-page.ts'
import {
  JOURNAL_HEADER_LAYOUT,
  JOURNAL_MAGIC,
  JOURNAL_VERSION,
} from '../../../src/shared/format/journal-header.ts'
import type { LayoutTable } from '../../../src/shared/format/layout.ts'
import {
  APPEND_LAYOUT,
  CREATE_LAYOUT,
  OPERATION_LAYOUT,
} from '../../../src/shared/format/operation.ts'
import { publicKeyPath, streamPath } from '../../../src/shared/format/paths.ts'
import {
  PRODUCER_RESULT_LAYOUT,
  PRODUCER_STATE_LAYOUT,
} from '../../../src/shared/format/producer-state.ts'
import { PRODUCER_LAYOUT } from '../../../src/shared/format/producer.ts'
import { REFERENCE_LAYOUT } from '../../../src/shared/format/reference.ts'
import {
  decodeRecord,
  RECORD_END,
  RECORD_LAYOUT,
  RECORD_MAGIC,
  RECORD_TRAILER_BYTES,
} from '../../../src/shared/format/record.ts'
import { STATE_LAYOUT } from '../../../src/shared/format/stream-state.ts'
import { SESSION_ANSWER_LAYOUT } from '../../../src/shared/format/session-answer.ts'
import {
  SESSION_PRODUCER_LAYOUT,
  SESSION_REQUEST_LAYOUT,
} from '../../../src/shared/format/session-request.ts'
import { golden, readFormatReadme } from '../../support/format.ts'
import { COMPRESSED, HEADS, SAMPLES, SIGNER } from '../../support/format-samples.ts'
import { STREAM, STREAM_ID } from '../../support/state-samples.ts'

type Row = {
  readonly at: number
  readonly width: number
  readonly type: string
  readonly field: string
  readonly example: string
}
type Name = keyof typeof SAMPLES

/** Heading → its layout, the sample that it shows, and where in that the structure lies. */
const SECTIONS: Readonly<Record<string, readonly [LayoutTable, sample: Name, at: number]>> = {
  Record: [RECORD_LAYOUT, 'record', 0],
  Chain: [CHAIN_INPUT_LAYOUT, 'chain-input', 0],
  Checkpoint: [CHECKPOINT_BODY_LAYOUT, 'checkpoint-record', 68],
  'Stream state': [STATE_LAYOUT, 'stream-state', 0],
  'Signed bytes': [CHECKPOINT_SIGNED_LAYOUT, 'checkpoint-signed', 0],
  'Index page': [INDEX_PAGE_LAYOUT, 'index-page', 0],
  'Catalogue entry': [ENTRY_LAYOUT, 'stream-entry', 0],
  'Stream entry': [STREAM_ENTRY_LAYOUT, 'stream-entry', 32],
  'Producer state': [PRODUCER_STATE_LAYOUT, 'stream-entry', 363],
  'Producer result': [PRODUCER_RESULT_LAYOUT, 'stream-entry', 389],
  'Commit entry': [COMMIT_ENTRY_LAYOUT, 'commit-entry', 32],
  'Journal file': [JOURNAL_HEADER_LAYOUT, 'journal-header', 0],
  Block: [BLOCK_LAYOUT, 'block', 0],
  Frame: [FRAME_LAYOUT, 'frame', 0],
  Operation: [OPERATION_LAYOUT, 'append-operation', 0],
  Create: [CREATE_LAYOUT, 'create-operation', 24],
  Append: [APPEND_LAYOUT, 'append-operation', 24],
  Producer: [PRODUCER_LAYOUT, 'producer-append', 72],
  Reference: [REFERENCE_LAYOUT, 'reference-operation', 24],
  'Batch item': [BATCH_ITEM_LAYOUT, 'batch', 0],
  'Session request': [SESSION_REQUEST_LAYOUT, 'session-request', 0],
  'Session producer': [SESSION_PRODUCER_LAYOUT, 'session-request', 22],
  'Session answer': [SESSION_ANSWER_LAYOUT, 'session-answer', 0],
}

/** Heading → its magic, and its version where it has one. */
const MARKS: Readonly<Record<string, readonly [magic: number, version?: number]>> = {
  Record: [RECORD_MAGIC],
  'Index page': [INDEX_MAGIC],
  'Catalogue entry': [CATALOGUE_MAGIC, CATALOGUE_VERSION],
  'Journal file': [JOURNAL_MAGIC, JOURNAL_VERSION],
  Block: [BLOCK_MAGIC, BLOCK_VERSION],
  Frame: [FRAME_MAGIC, FRAME_VERSION],
}

const README = readFormatReadme()

/** The text under a heading, to the next one. */
function sectionOf(heading: string): string {
  const parts = README.split(/^#+ /m).filter(part => part.startsWith(`${heading}\n`))
  assert.is(parts.length, 1, `one section ${heading}`)
  return parts[0] ?? ''
}

/** The rows of fixed place and width. */
function rowsOf(heading: string): Row[] {
  const pattern = /^\| (\d+) \| (\d+) \| (u8|u16|u32|u64|i64|bytes) \| (\w+) \|.*\| ([^|]+) \|$/gm
  return [...sectionOf(heading).matchAll(pattern)].map(match => {
    const [, at, width, type = '', field = '', example = ''] = match
    return { at: Number(at), width: Number(width), type, field, example }
  })
}

/** Whether `example`, as the tables show it, is what `bytes` say. */
function shows(example: string, type: string, bytes: Buffer): boolean {
  const text = example.replaceAll('`', '')
  if (type !== 'bytes') return BigInt(text) === BigInt(`0x${bytes.toReversed().reduce(hex, '')}`)
  if (text === 'zeros') return bytes.every(byte => byte === 0)
  const digits = bytes.toString('hex')
  return text.endsWith('…') ? digits.startsWith(text.slice(0, -1)) : digits === text
}

function hex(text: string, byte: number): string {
  return text + byte.toString(16).padStart(2, '0')
}

/** The bytes of a dump as `hexdump -C` writes it. */
function parseDump(text: string, from: number): Buffer {
  const rows: Buffer[] = []
  let at = from
  for (const line of text.trimEnd().split('\n')) {
    if (line === '*') continue
    const [place = '', ...digits] = line.replace(/\|.*/, '').trim().split(/ +/)
    while (at < Number.parseInt(place, 16)) at += push(rows, rows.at(-1) ?? Buffer.alloc(0))
    if (digits.length > 0) at += push(rows, Buffer.from(digits.join(''), 'hex'))
  }
  return Buffer.concat(rows)
}

function push(rows: Buffer[], row: Buffer): number {
  assert.ok(row.length > 0, 'a row holds bytes')
  rows.push(row)
  return row.length
}

const readme = suite('shared/format/readme')

for (const [heading, [table, sample, base]] of Object.entries(SECTIONS)) {
  readme(`the table of ${heading} is the layout`, () => {
    const documented = rowsOf(heading).map(({ field, at, width }) => [field, at, width])
    const coded = Object.entries(table).map(([field, [at, width]]) => [field, at, width])
    assert.equal(documented, coded)
  })

  readme(`the table of ${heading} decodes its example`, () => {
    for (const { at, width, type, field, example } of rowsOf(heading)) {
      const bytes = SAMPLES[sample].subarray(base + at, base + at + width)
      assert.ok(shows(example, type, bytes), `${field} is ${bytes.toString('hex')}, not ${example}`)
      if (type !== 'bytes') assert.is(8 * width, Number(type.slice(1)), `${field} is a ${type}`)
    }
  })

  readme(`the section ${heading} shows its example`, () => {
    const shown = [...sectionOf(heading).matchAll(/^```hexdump ([\w-]+)\.bin (\d+)-(\d+)$/gm)]
    const end = base + Object.values(table).reduce((sum, [, width]) => sum + width, 0)
    const [, , from, to] = shown.find(([, name]) => name === sample) ?? []
    assert.ok(Number(from) <= base && Number(to) >= Math.min(end, SAMPLES[sample].length), heading)
  })
}

for (const [heading, [magic, version]] of Object.entries(MARKS)) {
  readme(`the magic of ${heading} is the code's`, () => {
    const text = `0x${magic.toString(16).toUpperCase()}`
    const letters = Buffer.from(text.slice(2), 'hex').reverse().toString()
    assert.match(sectionOf(heading), `| magic | ${text}, \`${letters}\` in the file |`)
    if (version !== undefined) assert.match(sectionOf(heading), `| version | ${version} |`)
  })
}

readme('a record ends with its marker, behind the checksum', () => {
  const end = golden('record').subarray(-RECORD_TRAILER_BYTES)
  assert.is(end.readUInt32LE(4), RECORD_END)
  assert.match(sectionOf('Record'), `| end | 0x${RECORD_END.toString(16).toUpperCase()},`)
})

readme('every dump is what the encoders make', () => {
  const dumps = [...README.matchAll(/^```hexdump ([\w-]+)\.bin (\d+)-(\d+)\n(.*?)```$/gms)]
  assert.ok(dumps.length > Object.keys(SECTIONS).length)
  for (const [, name = '', from, to, text = ''] of dumps) {
    const shown = SAMPLES[name as Name].subarray(Number(from), Number(to))
    assert.is(parseDump(text, Number(from)).toString('hex'), shown.toString('hex'), name)
  }
})

readme('every JSON file is what the encoders make', () => {
  const files = [...README.matchAll(/^```json ([\w-]+)\.bin\n(.*?)```$/gms)]
  assert.equal(
    files.map(([, name]) => name),
    ['directory-header', 'manifest'],
  )
  for (const [, name, text] of files) assert.is(text, SAMPLES[name as Name].toString())
})

readme('the public key is what the encoder makes', () => {
  const [, name, text] = /^```pem ([\w-]+)\.bin\n(.*?)```$/ms.exec(README) ?? []
  assert.is(text, SAMPLES[name as Name].toString())
  const path = publicKeyPath(SIGNER.keyId)
  assert.ok(path.startsWith('keys/'))
  assert.match(sectionOf('Directory'), path.slice('keys/'.length))
  assert.match(sectionOf('Signed bytes'), path)
})

readme('a checkpoint takes as many bytes as it says', () => {
  const sum = `68 + 168 + 8 = ${CHECKPOINT_RECORD_BYTES} bytes`
  assert.match(sectionOf('Checkpoint'), sum)
})

readme('every structure has its golden file', () => {
  for (const [name, bytes] of Object.entries(SAMPLES)) {
    assert.is(golden(name).toString('hex'), bytes.toString('hex'), name)
  }
})

readme('names, shards and hashes are what the code makes', () => {
  assert.match(README, `\`${streamPath(STREAM, STREAM_ID)}\``)
  const checksum = crc32(STREAM)
  assert.match(README, `0x${checksum.toString(16).toUpperCase().padStart(8, '0')}`)
  assert.is(shardOf(STREAM, 7), checksum % 7)
  const marks = ['record 0', 'record 1', 'the checkpoint before record 2', 'record 2']
  const ends = ['the one that ends its segment', 'the one that signs the trim', 'record 3']
  const all = [...marks, ...ends]
  const chain = HEADS.map((head, at) => `${latin1ToHex(head)}  ${all[at]}\n`)
  assert.match(sectionOf('Chain'), chain.join(''))
  assert.is(crc32('123456789'), 0xcbf43926)
})

readme('a compressed record is hashed with the body that it expands to', () => {
  const bytes = golden('compressed-record')
  const record = decodeRecord(bytes, 0)
  assert.ok(record)
  const expanded = expandRecord({ bytes, record })
  assert.is(expanded.bytes.toString(), COMPRESSED.body)
  const head = chainHashOf(STREAM_ID, expanded.bytes, expanded.record)
  assert.match(sectionOf('Compressed body'), `${latin1ToHex(head)}  record ${record.offset}`)
})

readme.run()
