import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  decodeProducer,
  encodeProducer,
  PRODUCER_LAYOUT,
  producerBytes,
} from '../../../src/shared/format/producer.ts'
import { PRODUCER_ID_BYTES_MAX } from '../../../src/shared/limits.ts'
import type { Producer } from '../../../src/shared/protocol/streams.ts'
import {
  assertRejectsLength,
  assertRejectsPrefixes,
  assertRejectsSet,
  golden,
  patched,
} from '../../support/format.ts'
import { PRODUCER } from '../../support/format-samples.ts'

const AT = 72
const BYTES = golden('producer-append').subarray(AT, AT + producerBytes(PRODUCER))
const decode = (bytes: Buffer) => decodeProducer(bytes, 0, bytes.length)

function encode(value: Producer, start = 0): Buffer {
  const bytes = Buffer.alloc(start + producerBytes(value), 0xff)
  assert.is(encodeProducer(bytes, start, value), bytes.length)
  return bytes
}

const producer = suite('shared/format/producer')

producer('the golden bytes are a producer', () => {
  assert.equal(decode(BYTES), PRODUCER)
  assert.ok(encode(PRODUCER).equals(BYTES))
})

producer('the longest id comes back, at any place of a buffer', () => {
  const id = 'ä'.repeat(PRODUCER_ID_BYTES_MAX / 2)
  const value = { id, epoch: Number.MAX_SAFE_INTEGER, seq: Number.MAX_SAFE_INTEGER }
  assert.equal(decodeProducer(encode(value, 5), 5, 5 + producerBytes(value)), value)
})

producer('none takes no bytes', () => {
  assert.is(producerBytes(undefined), 0)
  assert.is(decode(Buffer.alloc(0)), undefined)
})

producer('every truncated prefix, and a byte too many, is rejected', () => {
  assertRejectsPrefixes(BYTES, decode)
  assert.is(decode(Buffer.concat([BYTES, Buffer.alloc(1)])), undefined)
})

producer('reserved bytes are rejected', () => {
  assertRejectsSet(BYTES, { table: PRODUCER_LAYOUT, fields: ['reserved'] }, undefined, decode)
})

producer('an id of no bytes or too many is rejected', () => {
  for (const id of ['', 'i'.repeat(PRODUCER_ID_BYTES_MAX + 1)]) {
    assert.is(decode(encode({ ...PRODUCER, id })), undefined)
  }
  assertRejectsLength(BYTES, PRODUCER_LAYOUT.idLength, decode)
})

producer('a number past 2^53 - 1 is rejected', () => {
  for (const [at] of [PRODUCER_LAYOUT.epoch, PRODUCER_LAYOUT.seq]) {
    assert.is(decode(patched(BYTES, at + 7, 1)), undefined)
  }
})

producer.run()
