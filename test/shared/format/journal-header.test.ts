import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  decodeJournalHeader,
  encodeJournalHeader,
  JOURNAL_HEADER_LAYOUT,
} from '../../../src/shared/format/journal-header.ts'
import {
  assertRejectsFlips,
  assertRejectsPrefixes,
  assertRejectsSet,
  golden,
  patched,
} from '../../support/format.ts'
import { JOURNAL_HEADER } from '../../support/format-samples.ts'

const BYTES = golden('journal-header')
const SEAL = { checksumAt: JOURNAL_HEADER_LAYOUT.checksum[0] }

const journalHeader = suite('shared/format/journal-header')

journalHeader('the golden bytes are the header of file 1', () => {
  assert.equal(decodeJournalHeader(BYTES), JOURNAL_HEADER)
})

journalHeader('what goes in comes out at the bounds', () => {
  const largest = 2 ** 53 - 1
  const header = {
    shard: 2 ** 32 - 1,
    epoch: 2 ** 32 - 1,
    number: largest,
    firstLsn: largest,
    capacity: largest,
    salt: '\xff'.repeat(16),
  }
  assert.equal(decodeJournalHeader(encodeJournalHeader(header)), header)
})

journalHeader('every truncated prefix is rejected', () => {
  assertRejectsPrefixes(BYTES, decodeJournalHeader)
})

journalHeader('every flipped bit of the page is rejected', () => {
  assertRejectsFlips(BYTES, decodeJournalHeader)
})

journalHeader('reserved bytes and other versions are rejected', () => {
  const fields = ['reserved', 'reserved2']
  const table = JOURNAL_HEADER_LAYOUT
  assertRejectsSet(BYTES, { table, fields }, SEAL, decodeJournalHeader)
  assert.not.ok(decodeJournalHeader(patched(BYTES, table.version[0], 2, SEAL)))
})

journalHeader('a number past 2^53 - 1 is rejected', () => {
  const { number, firstLsn, capacity } = JOURNAL_HEADER_LAYOUT
  for (const [at] of [number, firstLsn, capacity]) {
    assert.not.ok(decodeJournalHeader(patched(BYTES, at + 7, 1, SEAL)))
  }
})

journalHeader('zeroed space is not a journal header', () => {
  assert.is(decodeJournalHeader(Buffer.alloc(4096)), undefined)
})

journalHeader.run()
