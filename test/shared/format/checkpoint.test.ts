import { createPublicKey, verify } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  CHECKPOINT_BODY_BYTES,
  CHECKPOINT_BODY_LAYOUT,
  CHECKPOINT_DOMAIN,
  CHECKPOINT_RECORD_BYTES,
  CHECKPOINT_SIGNED_BYTES,
  CHECKPOINT_SIGNED_LAYOUT,
  type CheckpointBody,
  checkpointFields,
  decodeCheckpointBody,
  encodeCheckpointBody,
  signedBytes,
  StateChange,
} from '../../../src/shared/format/checkpoint.ts'
import {
  decodeRecord,
  RECORD_HEADER_BYTES,
  RecordKind,
  viewRecord,
} from '../../../src/shared/format/record.ts'
import { assertRejectsSet, golden, patched } from '../../support/format.ts'
import { CHECKPOINT, SAMPLES, SIGNER } from '../../support/format-samples.ts'
import { STREAM_ID } from '../../support/state-samples.ts'

const BYTES = golden('checkpoint-record')
const SEAL = { checksumAt: BYTES.length - 8 }
const SIGNATURE_AT = RECORD_HEADER_BYTES + CHECKPOINT_BODY_LAYOUT.signature[0]
const BODY: CheckpointBody = {
  recordCount: CHECKPOINT.recordCount,
  trimPoint: CHECKPOINT.trimPoint,
  stateHash: CHECKPOINT.stateHash,
  change: StateChange.None,
  keyId: SIGNER.keyId,
  isLastOfSegment: false,
  signature: BYTES.latin1Slice(SIGNATURE_AT, SIGNATURE_AT + 64),
}

function decode(bytes: Buffer): CheckpointBody | undefined {
  const record = decodeRecord(bytes, 0)
  return record && decodeCheckpointBody(bytes, record)
}

/** With a right checksum, a byte of the body is rejected as `value`. */
function rejects(byte: number, value: number): void {
  const changed = patched(BYTES, RECORD_HEADER_BYTES + byte, value, SEAL)
  assert.ok(decodeRecord(changed, 0), 'as a record it is sound')
  assert.is(decode(changed), undefined, `byte ${byte} of the body as ${value}`)
}

const checkpoint = suite('shared/format/checkpoint')

checkpoint('the golden bytes are the checkpoint that was asked for', () => {
  assert.is(BYTES.length, CHECKPOINT_RECORD_BYTES)
  assert.equal(decode(BYTES), BODY)
  const record = decodeRecord(BYTES, 0)
  assert.is(record?.kind, RecordKind.Checkpoint)
  assert.is(record?.offset, CHECKPOINT.offset)
})

checkpoint('its record says what its signature covers', () => {
  const record = decodeRecord(BYTES, 0)
  assert.ok(record)
  const fields = checkpointFields(STREAM_ID, record, BODY)
  assert.equal(fields, CHECKPOINT)
  assert.is(signedBytes(fields).toString('hex'), golden('checkpoint-signed').toString('hex'))
})

checkpoint('the golden signature is by the golden key', () => {
  const key = createPublicKey(golden('public-key'))
  const signature = Buffer.from(BODY.signature, 'latin1')
  assert.ok(verify(null, golden('checkpoint-signed'), key, signature))
})

checkpoint('what is signed is of one length, and begins with its domain', () => {
  const bytes = golden('checkpoint-signed')
  assert.is(bytes.length, CHECKPOINT_SIGNED_BYTES)
  assert.is(bytes.latin1Slice(0, CHECKPOINT_SIGNED_LAYOUT.streamId[0]), CHECKPOINT_DOMAIN)
})

checkpoint('every field that is signed changes what is signed', () => {
  const trimPoint = { offset: 0, hash: 'x'.repeat(32) }
  const changes = [
    { streamId: 'x'.repeat(16) },
    { offset: 3 },
    { recordCount: 3 },
    { timestamp: 1 },
    { chainHead: 'x'.repeat(32) },
    { trimPoint },
    { trimPoint: { ...trimPoint, offset: 1 } },
    { stateHash: 'x'.repeat(32) },
    { change: StateChange.Closed },
  ]
  const all = changes.map(change => signedBytes({ ...CHECKPOINT, ...change }).toString('hex'))
  assert.is(new Set(all.concat(signedBytes(CHECKPOINT).toString('hex'))).size, changes.length + 1)
  assert.is(Object.keys(CHECKPOINT_SIGNED_LAYOUT).length, changes.length + 1) // and the domain
})

checkpoint('whatever it says comes back', () => {
  const trimPoint = { offset: Number.MAX_SAFE_INTEGER, hash: 'h'.repeat(32) }
  for (const isLastOfSegment of [false, true]) {
    const change = isLastOfSegment ? StateChange.Trimmed : StateChange.Configured
    const signed = { recordCount: Number.MAX_SAFE_INTEGER, trimPoint, change }
    const body = { ...BODY, ...signed, isLastOfSegment }
    const bytes = Buffer.from(BYTES)
    encodeCheckpointBody(body).copy(bytes, RECORD_HEADER_BYTES)
    const record = viewRecord(bytes, 0)
    assert.ok(record)
    assert.equal(decodeCheckpointBody(bytes, record), body)
  }
})

checkpoint('a segment ends with one that says so', () => {
  const segment = golden('segment')
  const lastAt = segment.length - CHECKPOINT_RECORD_BYTES
  const last = decodeRecord(segment, lastAt)
  assert.ok(last)
  assert.is(decodeCheckpointBody(segment, last)?.isLastOfSegment, true)
  assert.ok(SAMPLES.segment.equals(segment))
})

checkpoint('a body of another length is rejected', () => {
  const record = decodeRecord(BYTES, 0)
  assert.ok(record)
  for (let length = 0; length < CHECKPOINT_BODY_BYTES; length += 1) {
    const bodyEnd = record.bodyAt + length
    assert.is(decodeCheckpointBody(BYTES, { ...record, bodyEnd }), undefined)
  }
  const data = golden('record')
  const view = decodeRecord(data, 0)
  assert.ok(view)
  assert.is(decodeCheckpointBody(data, view), undefined)
})

checkpoint('reserved bytes and unknown flags are rejected', () => {
  const table = { table: CHECKPOINT_BODY_LAYOUT, at: RECORD_HEADER_BYTES, fields: ['reserved'] }
  assertRejectsSet(BYTES, table, SEAL, decode)
  for (const flags of [2, 3, 128, 255]) rejects(CHECKPOINT_BODY_LAYOUT.flags[0], flags)
  for (const change of [4, 128, 255]) rejects(CHECKPOINT_BODY_LAYOUT.change[0], change)
})

checkpoint('a number past 2^53 - 1 is rejected', () => {
  rejects(CHECKPOINT_BODY_LAYOUT.recordCount[0] + 7, 1)
  rejects(CHECKPOINT_BODY_LAYOUT.trimOffset[0] + 7, 1)
})

checkpoint.run()
