import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  COMMIT_ENTRY_LAYOUT,
  decodeEntry,
  encodeStreamEntry,
  ENTRY_HEADER_BYTES,
  ENTRY_LAYOUT,
  EntryType,
  STREAM_ENTRY_LAYOUT,
  streamEntryBytesMax,
} from '../../../src/shared/format/catalogue.ts'
import type { LayoutTable } from '../../../src/shared/format/layout.ts'
import { STREAM_NAME_BYTES_MAX } from '../../../src/shared/limits.ts'
import {
  assertRejectsFlips,
  assertRejectsLength,
  assertRejectsPrefixes,
  assertRejectsSet,
  golden,
  patched,
  type Seal,
} from '../../support/format.ts'
import { COMMIT, STREAM_ENTRY, STREAM_ID } from '../../support/format-samples.ts'

const STREAM = golden('stream-entry')
const REMOVED = golden('removed-entry')
const COMMITTED = golden('commit-entry')
const ALL = [STREAM, REMOVED, COMMITTED]
const decode = (bytes: Buffer) => decodeEntry(bytes, 0)
const sealOf = (bytes: Buffer): Seal => ({
  checksumAt: ENTRY_LAYOUT.checksum[0],
  coveredTo: bytes.length,
})

function rejectsSet(bytes: Buffer, table: LayoutTable, at: number, fields: string[]): void {
  assertRejectsSet(bytes, { table, at, fields }, sealOf(bytes), decode)
}

/** With a right checksum, `byte` of the body is rejected as `value`. */
function rejects(bytes: Buffer, byte: number, value: number): void {
  const changed = patched(bytes, ENTRY_HEADER_BYTES + byte, value, sealOf(bytes))
  assert.is(decode(changed), undefined, `byte ${byte} of the body as ${value}`)
}

const catalogue = suite('shared/format/catalogue')

catalogue('the golden bytes are a stream, a removed stream and a commit', () => {
  const end = { end: STREAM.length }
  assert.equal(decode(STREAM), { type: EntryType.Stream, ...end, stream: STREAM_ENTRY })
  assert.equal(decode(REMOVED), { type: EntryType.Removed, end: 32, streamId: STREAM_ID })
  assert.equal(decode(COMMITTED), { type: EntryType.Commit, end: 96, commit: COMMIT })
})

catalogue('the longest name comes back, at any place of a buffer', () => {
  const name = 'ä'.repeat(STREAM_NAME_BYTES_MAX / 2)
  const stream = { ...STREAM_ENTRY, name, closed: true }
  const bytes = Buffer.alloc(5 + streamEntryBytesMax(name, stream.config), 0xff)
  const end = encodeStreamEntry(bytes, 5, stream)
  assert.equal(decodeEntry(bytes, 5), { type: EntryType.Stream, end, stream })
})

catalogue('every truncated prefix is rejected', () => {
  for (const bytes of ALL) assertRejectsPrefixes(bytes, decode)
})

catalogue('every flipped bit is rejected', () => {
  for (const bytes of ALL) assertRejectsFlips(bytes, decode)
})

catalogue('reserved bytes are rejected', () => {
  for (const bytes of ALL) rejectsSet(bytes, ENTRY_LAYOUT, 0, ['reserved'])
  rejectsSet(STREAM, STREAM_ENTRY_LAYOUT, ENTRY_HEADER_BYTES, ['reserved', 'reserved2'])
  rejectsSet(COMMITTED, COMMIT_ENTRY_LAYOUT, ENTRY_HEADER_BYTES, ['reserved'])
})

catalogue('unknown versions, types and states are rejected', () => {
  for (const [at] of [ENTRY_LAYOUT.version, ENTRY_LAYOUT.type]) {
    assert.is(decode(patched(STREAM, at, 4, sealOf(STREAM))), undefined)
    assert.is(decode(patched(STREAM, at, 0, sealOf(STREAM))), undefined)
  }
  rejects(STREAM, STREAM_ENTRY_LAYOUT.state[0], 2)
})

catalogue('a body of another length than its type has is rejected', () => {
  for (const [bytes, type] of ALL.flatMap(one => [1, 2, 3].map(as => [one, as] as const))) {
    if (bytes[ENTRY_LAYOUT.type[0]] === type) continue
    assert.is(decode(patched(bytes, ENTRY_LAYOUT.type[0], type, sealOf(bytes))), undefined)
  }
  rejects(STREAM, STREAM_ENTRY_LAYOUT.nameLength[0], 7)
  rejects(STREAM, STREAM_ENTRY_LAYOUT.configLength[0] + 1, 0xff)
})

catalogue('a number past 2^53 - 1 is rejected', () => {
  const { createdAt, lastTimestamp, firstOffset, nextOffset, recordBytes, segmentFirstOffset } =
    STREAM_ENTRY_LAYOUT
  const ofStream = [createdAt, lastTimestamp, firstOffset, nextOffset, recordBytes]
  for (const [at] of [...ofStream, segmentFirstOffset]) rejects(STREAM, at + 7, 1)
  const { checkpointLsn, journalFile, blockNumber, timestamp } = COMMIT_ENTRY_LAYOUT
  const ofCommit = [checkpointLsn, journalFile, blockNumber, timestamp]
  for (const [at] of ofCommit) rejects(COMMITTED, at + 7, 1)
})

catalogue('an absurd length is rejected, and nothing is allocated for it', () => {
  for (const bytes of ALL) assertRejectsLength(bytes, ENTRY_LAYOUT.length, decode)
})

catalogue('zeroed space is not an entry', () => {
  assert.is(decode(Buffer.alloc(4096)), undefined)
})

catalogue.run()
