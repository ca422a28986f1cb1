import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CHECKPOINT_RECORD_BYTES } from '../../../src/shared/format/checkpoint.ts'
import { MIB, SEGMENT_BYTES_MIN, STREAM_CONFIG_DEFAULT } from '../../../src/shared/limits.ts'
import type { Retention } from '../../../src/shared/protocol/streams.ts'
import { endsBefore, segmentLimits } from '../../../src/workers/engine/segment-limits.ts'

const limits = suite('workers/engine/segment-limits')

const WITHOUT_BOUNDS = { records: Number.POSITIVE_INFINITY, ageMicros: Number.POSITIVE_INFINITY }
/** A segment from record 10 on. */
const POSITION = {
  segmentFirstOffset: 10,
  segmentBytes: 500,
  segmentSince: 1000,
  lastCheckpoint: 0,
}

limits('without retention a segment is as large as configured', () => {
  assert.equal(limitsOf({}), { bytes: MIB, ...WITHOUT_BOUNDS })
})

limits('a segment holds an eighth of what retention asks for', () => {
  const found = limitsOf({ maxBytes: 4 * MIB, maxRecords: 8000, maxAgeSeconds: 80 })
  assert.equal(found, { bytes: MIB / 2, records: 1000, ageMicros: 10e6 })
})

limits('a segment never gets so small that a stream is all files', () => {
  const found = limitsOf({ maxBytes: 1, maxRecords: 1, maxAgeSeconds: 1 })
  assert.equal(found, { bytes: SEGMENT_BYTES_MIN, records: 100, ageMicros: 1e6 })
})

limits('retention never makes a segment larger', () => {
  assert.is(limitsOf({ maxBytes: 1000 * MIB }).bytes, MIB)
})

limits('a segment ends before a record that leaves no room for its last checkpoint', () => {
  const bounds = { ...WITHOUT_BOUNDS, bytes: 1000 }
  const room = 1000 - 500 - CHECKPOINT_RECORD_BYTES
  assert.not.ok(endsBefore(bounds, POSITION, 11, 2000, room))
  assert.ok(endsBefore(bounds, POSITION, 11, 2000, room + 1))
})

limits('a segment ends at its count of records and at its age', () => {
  const bounds = { bytes: 1e9, records: 5, ageMicros: 1e6 }
  assert.equal(
    [14, 15].map(offset => endsBefore(bounds, POSITION, offset, 2000, 1)),
    [false, true],
  )
  const times = [1000 + 1e6, 1001 + 1e6]
  assert.equal(
    times.map(time => endsBefore(bounds, POSITION, 11, time, 1)),
    [false, true],
  )
})

limits('a segment without a record never ends, whatever checkpoints it holds', () => {
  const bounds = { bytes: 100, records: 0, ageMicros: 0 }
  assert.not.ok(endsBefore(bounds, POSITION, 10, 9e9, 1e6))
})

limits('a segment of unknown age does not end for it', () => {
  const bounds = { ...WITHOUT_BOUNDS, bytes: 1e9, ageMicros: 1 }
  assert.not.ok(endsBefore(bounds, { ...POSITION, segmentSince: 0 }, 11, 9e15, 1))
})

function limitsOf(retention: Retention) {
  return segmentLimits({ ...STREAM_CONFIG_DEFAULT, maxSegmentBytes: MIB, retention })
}

limits.run()
