import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  APPEND_HEADER_BYTES,
  APPEND_LAYOUT,
  APPEND_PREFIX_BYTES,
  CREATE_HEADER_BYTES,
  CREATE_LAYOUT,
  decodeOperation,
  OPERATION_HEADER_BYTES,
  OPERATION_LAYOUT,
  OperationType,
} from '../../../src/shared/format/operation.ts'
import {
  assertRejectsLength,
  assertRejectsPrefixes,
  assertRejectsSet,
  golden,
  patched,
} from '../../support/format.ts'
import {
  CONFIG,
  CREATED_AT,
  encodeChangeOperation,
  HEADS,
  STREAM,
  STREAM_ID,
} from '../../support/format-samples.ts'

const APPEND = golden('append-operation')
const CREATE = golden('create-operation')
const CLOSE = encodeChangeOperation(OperationType.Close)
const decode = (bytes: Buffer) => decodeOperation(bytes, 0, bytes.length)

const operation = suite('shared/format/operation')

operation('the golden bytes are an append', () => {
  assert.equal(decode(APPEND), {
    type: OperationType.Append,
    streamId: STREAM_ID,
    end: APPEND.length,
    firstOffset: 0,
    count: 2,
    chainHead: HEADS[1],
    recordsAt: APPEND_PREFIX_BYTES,
  })
})

operation('the golden bytes are a create', () => {
  assert.equal(decode(CREATE), {
    type: OperationType.Create,
    streamId: STREAM_ID,
    end: CREATE.length,
    createdAt: CREATED_AT,
    name: STREAM,
    config: CONFIG,
  })
})

operation('configure, close and delete come back', () => {
  const configure = encodeChangeOperation(OperationType.Configure, CONFIG)
  const common = { streamId: STREAM_ID, end: configure.length }
  assert.equal(decode(configure), { type: OperationType.Configure, ...common, config: CONFIG })
  for (const type of [OperationType.Close, OperationType.Delete] as const) {
    const bytes = encodeChangeOperation(type)
    assert.equal(decode(bytes), { type, streamId: STREAM_ID, end: OPERATION_HEADER_BYTES })
  }
})

operation('what varies lies right behind what is fixed', () => {
  assert.is(APPEND_PREFIX_BYTES, OPERATION_HEADER_BYTES + APPEND_HEADER_BYTES)
  assert.is(CREATE.indexOf(STREAM), OPERATION_HEADER_BYTES + CREATE_HEADER_BYTES)
})

operation('every truncated prefix is rejected', () => {
  for (const bytes of [APPEND, CREATE, CLOSE]) assertRejectsPrefixes(bytes, decode)
})

operation('reserved bytes are rejected', () => {
  for (const bytes of [APPEND, CREATE, CLOSE]) {
    const fields = ['reserved']
    assertRejectsSet(bytes, { table: OPERATION_LAYOUT, fields }, undefined, decode)
  }
  const at = OPERATION_HEADER_BYTES
  const reserved = { at, fields: ['reserved'] }
  assertRejectsSet(APPEND, { table: APPEND_LAYOUT, ...reserved }, undefined, decode)
  assertRejectsSet(CREATE, { table: CREATE_LAYOUT, ...reserved }, undefined, decode)
})

operation('an unknown type is rejected', () => {
  for (const type of [0, 6, 255]) {
    assert.is(decode(patched(CLOSE, OPERATION_LAYOUT.type[0], type)), undefined)
  }
})

operation('an absurd length or count is rejected, and nothing is allocated for it', () => {
  assertRejectsLength(APPEND, OPERATION_LAYOUT.length, decode)
  const at = OPERATION_HEADER_BYTES
  assertRejectsLength(APPEND, [at + APPEND_LAYOUT.count[0], 4], decode)
  assertRejectsLength(CREATE, [at + CREATE_LAYOUT.nameLength[0], 2], decode)
  assertRejectsLength(CREATE, [at + CREATE_LAYOUT.configLength[0], 2], decode)
})

operation('an append of no records is rejected', () => {
  const at = OPERATION_HEADER_BYTES + APPEND_LAYOUT.count[0]
  assert.is(decode(patched(APPEND, at, 0)), undefined)
})

operation('a number past 2^53 - 1 is rejected', () => {
  const at = OPERATION_HEADER_BYTES
  assert.is(decode(patched(APPEND, at + APPEND_LAYOUT.firstOffset[0] + 7, 1)), undefined)
  assert.is(decode(patched(CREATE, at + CREATE_LAYOUT.createdAt[0] + 7, 1)), undefined)
})

operation('close and delete carry nothing', () => {
  const bytes = Buffer.concat([CLOSE, Buffer.alloc(1)])
  assert.is(decode(patched(bytes, OPERATION_LAYOUT.length[0], 1)), undefined)
})

operation('zeroed space is not an operation', () => {
  assert.is(decode(Buffer.alloc(4096)), undefined)
})

operation.run()
