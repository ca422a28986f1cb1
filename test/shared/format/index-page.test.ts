import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  decodeIndexPage,
  encodeIndexPage,
  entryPosition,
  followsCheckpoint,
  INDEX_PAGE_ENTRIES,
  INDEX_PAGE_LAYOUT,
  indexEntry,
} from '../../../src/shared/format/index-page.ts'
import { SEGMENT_BYTES_MAX } from '../../../src/shared/limits.ts'
import {
  assertRejectsFlips,
  assertRejectsLength,
  assertRejectsPrefixes,
  golden,
  patched,
} from '../../support/format.ts'
import { INDEX_ENTRIES } from '../../support/format-samples.ts'

const BYTES = golden('index-page')
const FULL = Array.from({ length: INDEX_PAGE_ENTRIES }, (_, entry) => entry * 100)
const decode = (bytes: Buffer) => decodeIndexPage(bytes, 0)
/** The part that the checksum covers, on a page that is otherwise zero. */
const covered = (bytes: Buffer) => decode(Buffer.concat([bytes, Buffer.alloc(4096 - bytes.length)]))

const indexPage = suite('shared/format/index-page')

indexPage(
  'the golden bytes are the positions of three records, the third behind a checkpoint',
  () => {
    assert.equal(decode(BYTES), INDEX_ENTRIES)
    assert.equal(INDEX_ENTRIES.map(entryPosition), [0, 101, 424])
    assert.equal(INDEX_ENTRIES.map(followsCheckpoint), [false, false, true])
  },
)

indexPage('the highest bit of an entry is no part of its position', () => {
  const last = 2 * SEGMENT_BYTES_MAX - 1
  for (const position of [0, 1, last]) {
    for (const follows of [false, true]) {
      const entry = indexEntry(position, follows)
      const [back] = decode(encodeIndexPage(0, [entry])) ?? []
      assert.is(back, entry)
      assert.equal([entryPosition(entry), followsCheckpoint(entry)], [position, follows])
    }
  }
})

indexPage('a full page comes back, and an empty one', () => {
  assert.equal(decodeIndexPage(encodeIndexPage(9, FULL), 9), FULL)
  assert.equal(decode(encodeIndexPage(0, [])), [])
})

indexPage('a page in the place of another is rejected', () => {
  assert.is(decodeIndexPage(BYTES, 1), undefined)
})

indexPage('every truncated prefix is rejected', () => {
  assertRejectsPrefixes(encodeIndexPage(0, FULL), decode)
})

indexPage('every flipped bit of what is in use is rejected', () => {
  assertRejectsFlips(BYTES.subarray(0, 28), covered)
  assertRejectsFlips(encodeIndexPage(0, FULL), decode)
})

indexPage('unused entries count for nothing', () => {
  assert.equal(decode(patched(BYTES, 28, 1)), INDEX_ENTRIES)
})

indexPage('an absurd count is rejected, and nothing is allocated for it', () => {
  assertRejectsLength(BYTES, INDEX_PAGE_LAYOUT.count, decode)
})

indexPage('zeroed space is not an index page', () => {
  assert.is(decode(Buffer.alloc(4096)), undefined)
})

indexPage.run()
