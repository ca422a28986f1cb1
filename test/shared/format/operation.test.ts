import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  APPEND_HEADER_BYTES,
  APPEND_LAYOUT,
  appendPrefixBytes,
  CREATE_HEADER_BYTES,
  CREATE_LAYOUT,
  decodeOperation,
  OPERATION_HEADER_BYTES,
  OPERATION_LAYOUT,
  OperationType,
  TRIM_BYTES,
} from '../../../src/shared/format/operation.ts'
import {
  assertRejectsLength,
  assertRejectsPrefixes,
  assertRejectsSet,
  golden,
  patched,
} from '../../support/format.ts'
import { HEADS, PRODUCER } from '../../support/format-samples.ts'
import {
  CONFIG,
  CREATED_AT,
  encodeChangeOperation,
  STREAM,
  STREAM_ID,
  TRIM_BEFORE,
} from '../../support/state-samples.ts'

const APPEND = golden('append-operation')
const CREATE = golden('create-operation')
const PRODUCED = golden('producer-append')
const SIGNED = golden('checkpoint-append')
const TRIM = golden('trim-operation')
const APPENDS = [APPEND, PRODUCED, SIGNED]
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
    producer: undefined,
    recordsAt: appendPrefixBytes(undefined),
  })
})

operation('the golden bytes are the append of a producer', () => {
  assert.equal(decode(PRODUCED), {
    type: OperationType.Append,
    streamId: STREAM_ID,
    end: PRODUCED.length,
    firstOffset: 2,
    count: 1,
    chainHead: HEADS[4],
    producer: PRODUCER,
    recordsAt: appendPrefixBytes(PRODUCER),
  })
})

operation('the golden bytes are a checkpoint alone, which counts as no record', () => {
  assert.equal(decode(SIGNED), {
    type: OperationType.Append,
    streamId: STREAM_ID,
    end: SIGNED.length,
    firstOffset: 2,
    count: 0,
    chainHead: HEADS[2],
    producer: undefined,
    recordsAt: appendPrefixBytes(undefined),
  })
})

operation('the golden bytes are a trim', () => {
  const end = TRIM.length
  const { Trim: type } = OperationType
  assert.is(end, TRIM_BYTES)
  assert.equal(decode(TRIM), { type, streamId: STREAM_ID, end, before: TRIM_BEFORE })
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
  assert.is(appendPrefixBytes(undefined), OPERATION_HEADER_BYTES + APPEND_HEADER_BYTES)
  assert.is(CREATE.indexOf(STREAM), OPERATION_HEADER_BYTES + CREATE_HEADER_BYTES)
})

operation('every truncated prefix is rejected', () => {
  for (const bytes of [...APPENDS, CREATE, CLOSE, TRIM]) assertRejectsPrefixes(bytes, decode)
})

operation('reserved bytes are rejected', () => {
  for (const bytes of [...APPENDS, CREATE, CLOSE, TRIM]) {
    const fields = ['reserved']
    assertRejectsSet(bytes, { table: OPERATION_LAYOUT, fields }, undefined, decode)
  }
  const at = OPERATION_HEADER_BYTES
  const reserved = { at, fields: ['reserved'] }
  assertRejectsSet(CREATE, { table: CREATE_LAYOUT, ...reserved }, undefined, decode)
})

operation('an unknown type is rejected', () => {
  for (const type of [0, 7, 255]) {
    assert.is(decode(patched(CLOSE, OPERATION_LAYOUT.type[0], type)), undefined)
  }
})

operation('an absurd length or count is rejected, and nothing is allocated for it', () => {
  assertRejectsLength(APPEND, OPERATION_LAYOUT.length, decode)
  const at = OPERATION_HEADER_BYTES
  for (const bytes of APPENDS) {
    assertRejectsLength(bytes, [at + APPEND_LAYOUT.count[0], 4], decode)
    assertRejectsLength(bytes, [at + APPEND_LAYOUT.producerLength[0], 4], decode)
  }
  assertRejectsLength(CREATE, [at + CREATE_LAYOUT.nameLength[0], 2], decode)
  assertRejectsLength(CREATE, [at + CREATE_LAYOUT.configLength[0], 2], decode)
})

operation('an append without a record, of whichever kind, is rejected', () => {
  const at = OPERATION_HEADER_BYTES
  const empty = patched(SIGNED.subarray(0, appendPrefixBytes(undefined)), 4, APPEND_HEADER_BYTES)
  empty.fill(0, 5, 8)
  assert.is(decode(empty), undefined)
  const { producerLength } = APPEND_LAYOUT
  assert.is(decode(patched(PRODUCED, at + producerLength[0], PRODUCED.length - 72)), undefined)
})

operation('a producer of another length than it has is rejected', () => {
  const at = OPERATION_HEADER_BYTES + APPEND_LAYOUT.producerLength[0]
  for (const length of [1, 20, 25, 27]) assert.is(decode(patched(PRODUCED, at, length)), undefined)
})

operation('a trim carries an offset, no more', () => {
  for (const length of [0, 7, 9]) {
    const bytes = Buffer.concat([TRIM, Buffer.alloc(1)])
    assert.is(decode(patched(bytes, OPERATION_LAYOUT.length[0], length)), undefined)
  }
})

operation('a number past 2^53 - 1 is rejected', () => {
  const at = OPERATION_HEADER_BYTES
  assert.is(decode(patched(APPEND, at + APPEND_LAYOUT.firstOffset[0] + 7, 1)), undefined)
  assert.is(decode(patched(CREATE, at + CREATE_LAYOUT.createdAt[0] + 7, 1)), undefined)
  assert.is(decode(patched(TRIM, at + 7, 1)), undefined)
})

operation('close and delete carry nothing', () => {
  const bytes = Buffer.concat([CLOSE, Buffer.alloc(1)])
  assert.is(decode(patched(bytes, OPERATION_LAYOUT.length[0], 1)), undefined)
})

operation('zeroed space is not an operation', () => {
  assert.is(decode(Buffer.alloc(4096)), undefined)
})

operation.run()
