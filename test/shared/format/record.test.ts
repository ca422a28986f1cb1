import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { viewOf } from '../../../src/shared/format/bytes.ts'
import { GENESIS_HASH } from '../../../src/shared/format/chain.ts'
import {
  claimedRecordBytes,
  decodeRecord,
  encodeRecord,
  isCheckpointAt,
  RECORD_HEADER_BYTES,
  RECORD_LAYOUT,
  recordBytes,
  type RecordFields,
  RecordFormat,
  RecordKind,
  viewRecord,
} from '../../../src/shared/format/record.ts'
import {
  assertRejectsFlips,
  assertRejectsLength,
  assertRejectsPrefixes,
  assertRejectsSet,
  golden,
  patched,
} from '../../support/format.ts'
import { HEADS, RECORDS, TIMESTAMP } from '../../support/format-samples.ts'
import { Random } from '../../support/random.ts'

const BYTES = golden('record')
const CHECKPOINT = golden('checkpoint-record')
const COMPRESSED = golden('compressed-record')
const SEAL = { checksumAt: BYTES.length - 8 }
const decode = (bytes: Buffer) => decodeRecord(bytes, 0)

const SEED = 20_260_801

function randomFields(random: Random): RecordFields {
  return {
    offset: random.below(Number.MAX_SAFE_INTEGER),
    timestamp: random.below(Number.MAX_SAFE_INTEGER),
    format: random.pick([RecordFormat.Binary, RecordFormat.Json, RecordFormat.Text]),
    previousHash: random.bytes(32),
  }
}

function encode(
  start: number,
  fields: RecordFields,
  source: Buffer,
  headersLength: number,
): Buffer {
  const bodyLength = source.length - headersLength
  const bytes = Buffer.alloc(start + recordBytes(headersLength, bodyLength))
  encodeRecord(bytes, viewOf(bytes), start, fields, source, 0, headersLength, bodyLength)
  return bytes
}

const record = suite('shared/format/record')

record('the golden bytes are a record', () => {
  const { headers, body, format } = RECORDS[0]
  const view = decode(BYTES)
  assert.ok(view)
  assert.is(view.offset, 0)
  assert.is(view.timestamp, TIMESTAMP)
  assert.is(view.format, format)
  assert.is(view.previousHash, GENESIS_HASH)
  assert.is(BYTES.toString('utf8', view.headersAt, view.bodyAt), headers)
  assert.is(BYTES.toString('utf8', view.bodyAt, view.bodyEnd), body)
  assert.is(view.end, BYTES.length)
})

record('what goes in comes out, at any place of a buffer', () => {
  const random = new Random(SEED)
  for (let round = 0; round < 200; round += 1) {
    const start = random.below(64)
    const source = Buffer.from(random.bytes(random.below(300)), 'latin1')
    const headersLength = random.below(source.length + 1)
    const fields = randomFields(random)
    const bytes = encode(start, fields, source, headersLength)
    const view = decodeRecord(bytes, start)
    assert.ok(view, `seed ${SEED}`)
    const { offset, timestamp, format, previousHash } = view
    assert.equal({ offset, timestamp, format, previousHash }, fields, `seed ${SEED}`)
    assert.ok(bytes.subarray(view.headersAt, view.bodyEnd).equals(source), `seed ${SEED}`)
    assert.is(view.bodyAt - view.headersAt, headersLength)
  }
})

record('every truncated prefix is rejected', () => {
  for (const bytes of [BYTES, CHECKPOINT, COMPRESSED]) assertRejectsPrefixes(bytes, decode)
})

record('every flipped bit is rejected', () => {
  for (const bytes of [BYTES, CHECKPOINT, COMPRESSED]) assertRejectsFlips(bytes, decode)
})

record('the golden bytes are a checkpoint, whose content the format of checkpoints says', () => {
  const view = decode(CHECKPOINT)
  assert.ok(view)
  const { kind, offset, format, compression, previousHash, headersAt, bodyAt, bodyEnd } = view
  assert.is(kind, RecordKind.Checkpoint)
  assert.equal([offset, format, compression, bodyAt - headersAt], [2, RecordFormat.Binary, 0, 0])
  assert.is(bodyEnd - bodyAt, 168)
  assert.is(previousHash, HEADS[1])
  assert.ok(isCheckpointAt(CHECKPOINT, 0))
  assert.not.ok(isCheckpointAt(BYTES, 0))
})

record('a checkpoint with headers, a format or a compression is rejected', () => {
  const seal = { checksumAt: CHECKPOINT.length - 8 }
  const fields = ['compression', 'format', 'reserved', 'headersLength', 'reserved2']
  assertRejectsSet(CHECKPOINT, { table: RECORD_LAYOUT, fields }, seal, decode)
  assert.not.ok(decode(patched(CHECKPOINT, RECORD_LAYOUT.rawLength[0], 137, seal)))
})

record('a compressed body is smaller than it was, another is as long', () => {
  const seal = { checksumAt: COMPRESSED.length - 8 }
  const [at] = RECORD_LAYOUT.rawLength
  assert.equal([decode(COMPRESSED)?.compression, decode(COMPRESSED)?.rawLength], [1, 240])
  for (const rawLength of [0, 16, 17])
    assert.not.ok(decode(patched(COMPRESSED, at, rawLength, seal)))
  assert.ok(decode(patched(COMPRESSED, at, 18, seal)))
  assert.not.ok(decode(patched(COMPRESSED, RECORD_LAYOUT.compression[0], 0, seal)))
})

record('reserved bytes and values are rejected', () => {
  const fields = ['compression', 'reserved', 'reserved2']
  assertRejectsSet(BYTES, { table: RECORD_LAYOUT, fields }, SEAL, decode)
  const { kind, compression } = RECORD_LAYOUT
  for (const value of [1, 2, 255]) assert.not.ok(decode(patched(BYTES, kind[0], value, SEAL)))
  const seal = { checksumAt: COMPRESSED.length - 8 }
  assert.ok(decode(patched(COMPRESSED, compression[0], 2, seal)))
  assert.not.ok(decode(patched(COMPRESSED, compression[0], 3, seal)))
  assert.not.ok(decode(patched(BYTES, RECORD_LAYOUT.format[0], 3, SEAL)))
  assert.not.ok(decode(patched(BYTES, RECORD_LAYOUT.rawLength[0], 9, SEAL)))
})

record('a number past 2^53 - 1 is rejected', () => {
  assert.not.ok(decode(patched(BYTES, RECORD_LAYOUT.offset[0] + 7, 1, SEAL)))
  assert.not.ok(decode(patched(BYTES, RECORD_LAYOUT.timestamp[0] + 7, 1, SEAL)))
})

record('an absurd length is rejected, and nothing is allocated for it', () => {
  assertRejectsLength(BYTES, RECORD_LAYOUT.length, decode)
  assertRejectsLength(BYTES, RECORD_LAYOUT.rawLength, decode)
  assertRejectsLength(BYTES, RECORD_LAYOUT.headersLength, decode)
})

record('zeroed space is not a record', () => {
  const zeros = Buffer.alloc(4096)
  assert.is(decode(zeros), undefined)
  assert.is(viewRecord(zeros, 0), undefined)
  assert.is(claimedRecordBytes(zeros, 0), 0)
})

record('a header alone says how long its record claims to be', () => {
  assert.is(claimedRecordBytes(BYTES.subarray(0, RECORD_HEADER_BYTES), 0), BYTES.length)
  assert.is(claimedRecordBytes(BYTES.subarray(0, RECORD_HEADER_BYTES - 1), 0), 0)
})

record('a view takes what a decoder takes, but for the checksum', () => {
  assert.equal(viewRecord(BYTES, 0), decode(BYTES))
  const damaged = patched(BYTES, BYTES.length - 9, 0)
  assert.is(decode(damaged), undefined)
  assert.ok(viewRecord(damaged, 0))
})

record.run()
