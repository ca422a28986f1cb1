import { createHash } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { latin1ToHex, viewOf } from '../../../src/shared/format/bytes.ts'
import {
  CHAIN_DOMAIN,
  CHAIN_PREFIX_BYTES,
  chainHashInPlace,
  chainHashOf,
  GENESIS_HASH,
} from '../../../src/shared/format/chain.ts'
import {
  decodeRecord,
  encodeRecord,
  recordBytes,
  RecordFormat,
  RecordKind,
} from '../../../src/shared/format/record.ts'
import { golden } from '../../support/format.ts'
import { HEADS, SAMPLES } from '../../support/format-samples.ts'
import { STREAM_ID } from '../../support/state-samples.ts'

function encode(headers: string, body: Buffer, offset = 7, timestamp = 9): Buffer {
  const source = Buffer.concat([Buffer.from(headers), body])
  const bytes = Buffer.alloc(recordBytes(headers.length, body.length))
  const fields = { offset, timestamp, format: RecordFormat.Text, previousHash: GENESIS_HASH }
  encodeRecord(bytes, viewOf(bytes), 0, fields, source, 0, headers.length, body.length)
  return bytes
}

function hashOf(bytes: Buffer, streamId = STREAM_ID): string {
  const record = decodeRecord(bytes, 0)
  assert.ok(record)
  return chainHashOf(streamId, bytes, record)
}

const chain = suite('shared/format/chain')

chain('a chain hash is the SHA-256 of the golden input', () => {
  const digest = createHash('sha256').update(golden('chain-input')).digest('hex')
  assert.is(latin1ToHex(hashOf(golden('record'))), digest)
  assert.is(CHAIN_DOMAIN.length, 16)
})

chain('records and the checkpoints among them link from genesis on', () => {
  const segment = SAMPLES.segment
  const found = []
  let head = GENESIS_HASH
  for (let at = 0; at < segment.length; ) {
    const record = decodeRecord(segment, at)
    assert.ok(record)
    assert.is(record.previousHash, head)
    found.push([record.kind, record.offset])
    head = chainHashOf(STREAM_ID, segment, record)
    at = record.end
  }
  // A checkpoint bears the offset of the record behind it, and takes none.
  const { Data, Checkpoint } = RecordKind
  const first = [0, 1].map(offset => [Data, offset])
  assert.equal(found, [...first, [Checkpoint, 2], [Data, 2], [Checkpoint, 3]])
  assert.is(head, HEADS[4])
})

chain('a checkpoint and a record of the same bytes have different hashes', () => {
  const bytes = golden('checkpoint-record')
  const record = decodeRecord(bytes, 0)
  assert.ok(record)
  const asData = chainHashOf(STREAM_ID, bytes, { ...record, kind: RecordKind.Data })
  assert.is(hashOf(bytes), HEADS[2])
  assert.is.not(asData, HEADS[2])
})

chain('both ways to hash agree, for small and large records', () => {
  for (const size of [0, 1, 65_000, 65_445, 65_446, 65_447, 200_000]) {
    const bytes = encode('{"a":"b"}', Buffer.alloc(size, 'x'))
    const room = Buffer.concat([Buffer.alloc(CHAIN_PREFIX_BYTES), bytes.subarray(68, -8)])
    const fields = { streamId: STREAM_ID, previousHash: GENESIS_HASH, offset: 7, timestamp: 9 }
    const hash = chainHashInPlace(
      { ...fields, kind: 0, format: RecordFormat.Text },
      room,
      viewOf(room),
      CHAIN_PREFIX_BYTES,
      9,
      size,
    )
    assert.is(latin1ToHex(hash), latin1ToHex(hashOf(bytes)), `${size} bytes`)
  }
})

chain('whatever a reader is shown changes the hash', () => {
  const hashes = [
    hashOf(encode('ab', Buffer.from('c'))),
    hashOf(encode('ab', Buffer.from('c')), GENESIS_HASH.slice(0, 16)),
    hashOf(encode('a', Buffer.from('bc'))),
    hashOf(encode('', Buffer.from('abc'))),
    hashOf(encode('ab', Buffer.from('d'))),
    hashOf(encode('ab', Buffer.from('c'), 8)),
    hashOf(encode('ab', Buffer.from('c'), 7, 10)),
  ]
  assert.is(new Set(hashes).size, hashes.length)
})

chain.run()
