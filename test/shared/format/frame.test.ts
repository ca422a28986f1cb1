import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeFrame, FRAME_LAYOUT, FrameFlag } from '../../../src/shared/format/frame.ts'
import {
  assertRejectsFlips,
  assertRejectsLength,
  assertRejectsPrefixes,
  assertRejectsSet,
  golden,
  patched,
} from '../../support/format.ts'
import { encodeFrame, TIMESTAMP } from '../../support/format-samples.ts'

const BYTES = golden('frame')
const SEAL = { checksumAt: FRAME_LAYOUT.checksum[0], coveredTo: BYTES.length }
const decode = (bytes: Buffer) => decodeFrame(bytes, 0, bytes.length)

const frame = suite('shared/format/frame')

frame('the golden bytes are a committed frame', () => {
  assert.equal(decode(BYTES), {
    flags: FrameFlag.Committed,
    timestamp: TIMESTAMP,
    payloadAt: 32,
    end: BYTES.length,
  })
})

frame('a barrier carries nothing', () => {
  const bytes = encodeFrame(Buffer.alloc(0), FrameFlag.Barrier)
  assert.equal(decode(bytes), {
    flags: FrameFlag.Barrier,
    timestamp: TIMESTAMP,
    payloadAt: 32,
    end: 32,
  })
})

frame('frames lie back to back', () => {
  const bytes = Buffer.concat([BYTES, BYTES])
  const second = decodeFrame(bytes, BYTES.length, bytes.length)
  assert.is(second?.end, bytes.length)
  assert.is(decodeFrame(bytes, BYTES.length, bytes.length - 1), undefined)
})

frame('every truncated prefix is rejected', () => {
  assertRejectsPrefixes(BYTES, decode)
})

frame('every flipped bit is rejected', () => {
  assertRejectsFlips(BYTES, decode)
})

frame('reserved bytes, flags and versions are rejected', () => {
  const fields = ['reserved', 'transaction']
  assertRejectsSet(BYTES, { table: FRAME_LAYOUT, fields }, SEAL, decode)
  for (const flags of [0, 2, 3, 4, 9, 16, 0xff]) {
    assert.not.ok(decode(patched(BYTES, FRAME_LAYOUT.flags[0], flags, SEAL)), `flags ${flags}`)
  }
  assert.not.ok(decode(patched(BYTES, FRAME_LAYOUT.version[0], 2, SEAL)))
  assert.not.ok(decode(patched(BYTES, FRAME_LAYOUT.timestamp[0] + 7, 1, SEAL)))
})

frame('an absurd length is rejected, and nothing is allocated for it', () => {
  assertRejectsLength(BYTES, FRAME_LAYOUT.payloadLength, decode)
})

frame('zeroed space is not a frame', () => {
  assert.is(decode(Buffer.alloc(4096)), undefined)
})

frame.run()
