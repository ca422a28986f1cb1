import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  decodeProducerStates,
  encodeProducerStates,
  PRODUCER_RESULT_LAYOUT,
  PRODUCER_STATE_LAYOUT,
  type ProducerState,
  producerStatesBytes,
} from '../../../src/shared/format/producer-state.ts'
import { PRODUCER_ID_BYTES_MAX } from '../../../src/shared/limits.ts'
import {
  assertRejectsLength,
  assertRejectsPrefixes,
  golden,
  patched,
} from '../../support/format.ts'
import { STREAM_ENTRY } from '../../support/format-samples.ts'

const STATES = STREAM_ENTRY.producers
const END = golden('stream-entry').length - STREAM_ENTRY.stateCheckpoint.length
const BYTES = golden('stream-entry').subarray(END - producerStatesBytes(STATES), END)
const ID_BYTES = 6
const RESULT_AT = 20 + ID_BYTES
const MANY: readonly ProducerState[] = Array.from({ length: 3 }, (_, index) => ({
  id: 'ä'.repeat(index + 1),
  epoch: Number.MAX_SAFE_INTEGER - index,
  lastSeq: index,
  results: Array.from({ length: index + 1 }, (__, seq) => ({
    firstOffset: seq,
    nextOffset: Number.MAX_SAFE_INTEGER - seq,
    timestamp: 7,
    recordHash: 'r'.repeat(32),
    chainHead: 'h'.repeat(32),
  })),
}))

const decode = (bytes: Buffer) => decodeProducerStates(bytes, 0, bytes.length)

function encode(states: readonly ProducerState[], start = 0): Buffer {
  const bytes = Buffer.alloc(start + producerStatesBytes(states), 0xff)
  assert.is(encodeProducerStates(bytes, start, states), bytes.length)
  return bytes
}

const producerState = suite('shared/format/producer-state')

producerState('the golden bytes are one producer with one result', () => {
  assert.equal(decode(BYTES), STATES)
  assert.ok(encode(STATES).equals(BYTES))
})

producerState('several come back, at any place of a buffer', () => {
  const bytes = encode(MANY, 5)
  assert.equal(decodeProducerStates(bytes, 5, bytes.length), MANY)
})

producerState('none takes no bytes', () => {
  assert.is(producerStatesBytes([]), 0)
  assert.equal(decode(Buffer.alloc(0)), [])
})

producerState('every truncated prefix but the empty one, and a byte too many, is rejected', () => {
  assertRejectsPrefixes(BYTES, bytes => bytes.length > 0 && decode(bytes))
  assert.is(decode(Buffer.concat([BYTES, Buffer.alloc(1)])), undefined)
})

producerState('an id of no bytes or too many is rejected', () => {
  for (const id of ['', 'i'.repeat(PRODUCER_ID_BYTES_MAX + 1)]) {
    assert.is(decode(encode(STATES.map(state => ({ ...state, id })))), undefined)
  }
  assertRejectsLength(BYTES, PRODUCER_STATE_LAYOUT.idLength, decode)
})

producerState('no results, and more than there were appends, are rejected', () => {
  assert.is(decode(encode(STATES.map(state => ({ ...state, results: [] })))), undefined)
  const twice = STATES.map(state => ({ ...state, results: [...state.results, ...state.results] }))
  assert.is(decode(encode(twice)), undefined)
  assertRejectsLength(BYTES, PRODUCER_STATE_LAYOUT.results, decode)
})

producerState('a number past 2^53 - 1 is rejected', () => {
  const { epoch, lastSeq } = PRODUCER_STATE_LAYOUT
  for (const [at] of [epoch, lastSeq]) assert.is(decode(patched(BYTES, at + 7, 1)), undefined)
  const { firstOffset, nextOffset, timestamp } = PRODUCER_RESULT_LAYOUT
  for (const [at] of [firstOffset, nextOffset, timestamp]) {
    assert.is(decode(patched(BYTES, RESULT_AT + at + 7, 1)), undefined)
  }
})

producerState.run()
