import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  decodeFrame,
  FRAME_LAYOUT,
  FrameFlag,
  sealWitness,
} from '../../../src/shared/format/frame.ts'
import {
  assertRejectsFlips,
  assertRejectsLength,
  assertRejectsPrefixes,
  assertRejectsSet,
  golden,
  patched,
} from '../../support/format.ts'
import { encodeFrame, PENDING_AT, TIMESTAMP, TRANSACTION } from '../../support/format-samples.ts'

const BYTES = golden('frame')
const SEAL = { checksumAt: FRAME_LAYOUT.checksum[0], coveredTo: BYTES.length }
const PENDING = golden('pending-frame')
const COMMITTED = golden('committed-frame')
const { Aborted, Barrier, Committed, Pending, Witness } = FrameFlag
const NOTHING = Buffer.alloc(0)
const decode = (bytes: Buffer) => decodeFrame(bytes, 0, bytes.length)

const frame = suite('shared/format/frame')

frame('the golden bytes are a committed frame', () => {
  assert.equal(decode(BYTES), {
    flags: Committed,
    transaction: undefined,
    witness: undefined,
    timestamp: TIMESTAMP,
    payloadAt: 32,
    end: BYTES.length,
  })
})

frame('a barrier carries nothing', () => {
  const bytes = encodeFrame(NOTHING, Barrier)
  assert.equal(decode(bytes), {
    flags: Barrier,
    transaction: undefined,
    witness: undefined,
    timestamp: TIMESTAMP,
    payloadAt: 32,
    end: 32,
  })
})

frame('the golden bytes are a transaction in doubt, then its outcome', () => {
  const end = PENDING.length
  const pending = { flags: Pending, transaction: TRANSACTION, timestamp: PENDING_AT }
  assert.equal(decode(PENDING), { ...pending, witness: undefined, payloadAt: 32, end })
  const outcome = decode(COMMITTED)
  assert.equal(outcome?.transaction, { ...TRANSACTION, coordinator: 0 })
  assert.equal([outcome?.flags, outcome?.end], [Committed, 32])
})

frame('a witness names a shard and an LSN, and is of no transaction', () => {
  const witness = { shard: 0xffff, lsn: Number.MAX_SAFE_INTEGER }
  const bytes = Buffer.alloc(32)
  assert.is(sealWitness(bytes, 0, TIMESTAMP, witness), 32)
  const found = decode(bytes)
  assert.equal([found?.flags, found?.witness, found?.transaction], [Witness, witness, undefined])
  const named = { id: 1, coordinator: 0 }
  assert.is(decode(encodeFrame(BYTES.subarray(32), Witness, TIMESTAMP, named)), undefined)
  assert.is(decode(encodeFrame(NOTHING, Witness)), undefined, 'no LSN')
})

frame('whatever belongs to a transaction comes back', () => {
  const id = Number.MAX_SAFE_INTEGER
  for (const [flags, payload, coordinator] of [
    [Pending, BYTES.subarray(32), 0xffff],
    [Committed, BYTES.subarray(32), 0], // one that concerns no other shard
    [Committed, NOTHING, 0],
    [Aborted, NOTHING, 0],
  ] as const) {
    const bytes = encodeFrame(payload, flags, TIMESTAMP, { id, coordinator })
    const { length: end } = bytes
    const transaction = { id, coordinator }
    const place = { timestamp: TIMESTAMP, payloadAt: 32, end }
    assert.equal(decode(bytes), { flags, transaction, witness: undefined, ...place })
  }
})

frame('fields that do not go with its flag are rejected', () => {
  const id = 7
  for (const [flags, payload, transaction] of [
    [Pending, BYTES.subarray(32), undefined],
    [Committed, NOTHING, { id, coordinator: 1 }],
    [Aborted, NOTHING, { id, coordinator: 1 }],
    [Aborted, NOTHING, undefined],
    [Aborted, BYTES.subarray(32), { id, coordinator: 0 }],
    [Barrier, BYTES.subarray(32), undefined],
    [Barrier, NOTHING, { id, coordinator: 0 }],
  ] as const) {
    assert.is(decode(encodeFrame(payload, flags, TIMESTAMP, transaction)), undefined)
  }
})

frame('frames lie back to back', () => {
  const bytes = Buffer.concat([BYTES, BYTES])
  const second = decodeFrame(bytes, BYTES.length, bytes.length)
  assert.is(second?.end, bytes.length)
  assert.is(decodeFrame(bytes, BYTES.length, bytes.length - 1), undefined)
})

frame('every truncated prefix is rejected', () => {
  for (const bytes of [BYTES, PENDING, COMMITTED]) assertRejectsPrefixes(bytes, decode)
})

frame('every flipped bit is rejected', () => {
  for (const bytes of [BYTES, PENDING, COMMITTED]) assertRejectsFlips(bytes, decode)
})

frame('a coordinator where there is none, unknown flags and versions are rejected', () => {
  const fields = ['coordinator']
  assertRejectsSet(BYTES, { table: FRAME_LAYOUT, fields }, SEAL, decode)
  for (const flags of [0, 3, 5, 9, 16, 0xff]) {
    assert.not.ok(decode(patched(BYTES, FRAME_LAYOUT.flags[0], flags, SEAL)), `flags ${flags}`)
  }
  assert.not.ok(decode(patched(BYTES, FRAME_LAYOUT.version[0], 2, SEAL)))
  assert.not.ok(decode(patched(BYTES, FRAME_LAYOUT.timestamp[0] + 7, 1, SEAL)))
  assert.not.ok(decode(patched(BYTES, FRAME_LAYOUT.transaction[0] + 7, 1, SEAL)))
})

frame('an absurd length is rejected, and nothing is allocated for it', () => {
  assertRejectsLength(BYTES, FRAME_LAYOUT.payloadLength, decode)
})

frame('zeroed space is not a frame', () => {
  assert.is(decode(Buffer.alloc(4096)), undefined)
})

frame.run()
