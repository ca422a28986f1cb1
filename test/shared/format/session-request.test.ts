import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  decodeSessionRequest,
  hasSessionId,
  readSessionId,
  SESSION_PRODUCER_LAYOUT,
  SESSION_REQUEST_LAYOUT,
} from '../../../src/shared/format/session-request.ts'
import { golden, storeErrorCode } from '../../support/format.ts'

const BYTES = golden('session-request')
const PRODUCER_AT = 22
const BATCH_AT = 42
const refuse = (bytes: Buffer) => storeErrorCode(() => decodeSessionRequest(bytes))

const request = suite('shared/format/session-request')

request('the golden bytes are an append of a producer', () => {
  assert.equal(decodeSessionRequest(BYTES), {
    id: 7,
    wantsProblem: false,
    durability: 'group',
    expectedOffset: 0,
    producer: { id: 'p1', epoch: 3, seq: 0 },
    nameEnd: PRODUCER_AT,
    batchAt: BATCH_AT,
  })
})

request('a prefix without the whole header has no id', () => {
  for (let length = 0; length < 16; length += 1) {
    assert.not.ok(hasSessionId(Buffer.from(BYTES.subarray(0, length))), `${length} bytes`)
  }
  assert.is(readSessionId(BYTES.subarray(0, 16)), 7)
})

request('every prefix that ends before the batch is rejected', () => {
  for (let length = 16; length < BATCH_AT; length += 1) {
    assert.is(refuse(Buffer.from(BYTES.subarray(0, length))), 'invalid_request', `${length} bytes`)
  }
  assert.is(refuse(Buffer.from(BYTES.subarray(0, BATCH_AT))), undefined)
})

request('every flag that has no meaning is rejected', () => {
  const [at] = SESSION_REQUEST_LAYOUT.flags
  for (let bit = 4; bit < 16; bit += 1) {
    const bytes = Buffer.from(BYTES)
    bytes.writeUInt16LE(6 | (1 << bit), at)
    assert.is(refuse(bytes), 'invalid_request', `bit ${bit}`)
  }
})

request('an expected offset is -1, or what an offset can be', () => {
  const at = (value: bigint) => {
    const bytes = Buffer.from(BYTES)
    bytes.writeBigInt64LE(value, SESSION_REQUEST_LAYOUT.expectedOffset[0])
    return bytes
  }
  assert.is(decodeSessionRequest(at(-1n)).expectedOffset, undefined)
  const most = decodeSessionRequest(at(2n ** 53n - 1n)).expectedOffset
  assert.is(most, Number.MAX_SAFE_INTEGER)
  for (const value of [-2n, -(2n ** 32n), -(2n ** 63n), 2n ** 53n, 2n ** 63n - 1n]) {
    assert.is(refuse(at(value)), 'invalid_request', String(value))
  }
})

request('epoch and seq are no more than 2^53 - 1', () => {
  for (const [at] of [SESSION_PRODUCER_LAYOUT.epoch, SESSION_PRODUCER_LAYOUT.seq]) {
    const bytes = Buffer.from(BYTES)
    bytes.writeBigUInt64LE(2n ** 53n, PRODUCER_AT + at)
    assert.is(refuse(bytes), 'invalid_request')
  }
})

request("a producer's id is UTF-8 of 1 to 128 bytes", () => {
  assert.is(refuse(withProducerId(Buffer.alloc(128, 'x'))), undefined)
  for (const id of [Buffer.alloc(0), Buffer.alloc(129, 'x'), Buffer.from([0xff])]) {
    assert.is(refuse(withProducerId(id)), 'invalid_request', `${id.length} bytes`)
  }
})

function withProducerId(id: Buffer): Buffer {
  const head = Buffer.from(BYTES.subarray(0, 40))
  head.writeUInt16LE(id.length, PRODUCER_AT + SESSION_PRODUCER_LAYOUT.idLength[0])
  return Buffer.concat([head, id, BYTES.subarray(BATCH_AT)])
}

request.run()
