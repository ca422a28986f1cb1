import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeSessionAnswer } from '../../../src/shared/format/session-answer.ts'
import { golden } from '../../support/format.ts'

const answer = suite('shared/format/session-answer')

answer('the golden bytes answer two records', () => {
  const bytes = encodeSessionAnswer({ id: 7, status: 200, firstOffset: 0, nextOffset: 2 })
  assert.is(bytes.toString('hex'), golden('session-answer').toString('hex'))
})

answer('every field takes its largest value, and the reserved bytes stay zero', () => {
  const most = Number.MAX_SAFE_INTEGER
  const bytes = encodeSessionAnswer({
    id: 0xffff_ffff,
    status: 507,
    firstOffset: most,
    nextOffset: most,
  })
  const read = [bytes.readUInt32LE(0), bytes.readUInt16LE(4), bytes.readUInt16LE(6)]
  assert.equal(read, [0xffff_ffff, 507, 0])
  assert.equal([bytes.readBigUInt64LE(8), bytes.readBigUInt64LE(16)], [BigInt(most), BigInt(most)])
})

answer('room for a problem comes after the fixed part', () => {
  const fields = { id: 1, status: 400, firstOffset: 0, nextOffset: 0 }
  assert.is(encodeSessionAnswer(fields, 5).length, 24 + 5)
})

answer.run()
