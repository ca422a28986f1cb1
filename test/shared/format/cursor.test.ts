import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkCursor } from '../../../src/shared/format/cursor.ts'
import type { ReadPlan } from '../../../src/shared/protocol/shard.ts'
import { storeErrorCode } from '../../support/format.ts'

const HASH = 'ab'.repeat(32)
const FROM = 5

/** Of a stream whose nine records are all stored, and none is known to the shard. */
const PLAN = {
  stream: 'a',
  streamId: '\0'.repeat(16),
  low: FROM,
  high: 9,
  nextOffset: 9,
  recordHash: '\x01'.repeat(32),
  stored: { nextOffset: 9, recordHash: '\x01'.repeat(32) },
  trimPoint: { offset: 0, hash: '', recordHash: '' },
  tail: null,
} as unknown as ReadPlan
const REQUEST = {
  from: FROM,
  direction: 'forward',
  limit: 1,
  maxBytes: 1,
  verify: 'links',
  encoding: 'json',
  after: HASH,
} as const

const cursor = suite('shared/format/cursor')

cursor('the hash of the record before is the one that is asked for, and no other is taken', () => {
  const asked: number[] = []
  const found = (hash: string) => (offset: number) => {
    asked.push(offset)
    return hash
  }
  checkCursor(PLAN, REQUEST, found('\xab'.repeat(32)))
  const other = () => checkCursor(PLAN, REQUEST, found('\xba'.repeat(32)))
  assert.is(storeErrorCode(other), 'history_mismatch')
  assert.equal(asked, [FROM, FROM])
})

cursor('a cursor whose record is lost is neither right nor wrong', () => {
  const lost = () => checkCursor(PLAN, REQUEST, () => undefined)
  assert.is(storeErrorCode(lost), 'corrupt_record')
})

cursor.run()
