import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  afterCheckpoint,
  afterRecord,
  endsWithCheckpoint,
  STREAM_START,
} from '../../../src/workers/streams/stream-position.ts'

const position = suite('workers/streams/stream-position')

position('a segment is as old as its first record', () => {
  const one = afterRecord(STREAM_START, 100, 5000)
  const two = afterRecord(one, 50, 6000)
  assert.equal([two.segmentBytes, two.segmentSince], [150, 5000])
})

position('a checkpoint takes room in its segment, and is the last from then on', () => {
  const after = afterCheckpoint(afterRecord(STREAM_START, 100, 5000), 212, 1, false)
  assert.equal([after.segmentBytes, after.lastCheckpoint, after.segmentSince], [312, 1, 5000])
  assert.ok(endsWithCheckpoint(after, 1))
  assert.not.ok(endsWithCheckpoint(afterRecord(after, 10, 6000), 2))
})

position('behind the checkpoint that ends a segment the next one is empty', () => {
  const after = afterCheckpoint(afterRecord(STREAM_START, 100, 5000), 212, 1, true)
  const empty = { segmentFirstOffset: 1, segmentBytes: 0, segmentSince: 0, lastCheckpoint: 1 }
  assert.equal(after, empty)
  assert.not.ok(endsWithCheckpoint(after, 1))
})

position('a stream without a record does not end with a checkpoint', () => {
  assert.not.ok(endsWithCheckpoint(STREAM_START, 0))
})

position.run()
