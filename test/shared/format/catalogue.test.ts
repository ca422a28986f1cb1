import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  decodeEntry,
  encodeStreamEntry,
  ENTRY_HEADER_BYTES,
  ENTRY_LAYOUT,
  EntryType,
  STREAM_ENTRY_LAYOUT,
  streamEntryBytesMax,
} from '../../../src/shared/format/catalogue.ts'
import { COMMIT_ENTRY_LAYOUT } from '../../../src/shared/format/commit-entry.ts'
import type { LayoutTable } from '../../../src/shared/format/layout.ts'
import { STREAM_NAME_BYTES_MAX } from '../../../src/shared/limits.ts'
import { CATALOGUE_SALT } from '../../support/entry-samples.ts'
import {
  assertRejectsFlips,
  assertRejectsLength,
  assertRejectsPrefixes,
  assertRejectsSet,
  golden,
  patched,
  type Seal,
} from '../../support/format.ts'
import { COMMIT, PRODUCED_AT, STREAM_ENTRY, TRANSACTION } from '../../support/format-samples.ts'
import { STREAM_ID } from '../../support/state-samples.ts'

const STREAM = golden('stream-entry')
const REMOVED = golden('removed-entry')
const COMMITTED = golden('commit-entry')
const DECIDED = golden('decision-entry')
const ALL = [STREAM, REMOVED, COMMITTED, DECIDED]
const NO_PLACE = { salt: '\0'.repeat(8), position: 0 }
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

catalogue('the golden bytes are a stream, a removed stream, a commit and a decision', () => {
  const place = (position: number) => ({ salt: CATALOGUE_SALT, position })
  const end = { end: STREAM.length, place: place(0) }
  assert.equal(decode(STREAM), { type: EntryType.Stream, ...end, stream: STREAM_ENTRY })
  const removed = { end: 48, place: place(STREAM.length) }
  assert.equal(decode(REMOVED), { type: EntryType.Removed, ...removed, streamId: STREAM_ID })
  const committed = { end: 112, place: place(STREAM.length) }
  assert.equal(decode(COMMITTED), { type: EntryType.Commit, ...committed, commit: COMMIT })
  const { id: transaction } = TRANSACTION
  const decided = { end: 40, place: place(STREAM.length) }
  assert.equal(decode(DECIDED), { type: EntryType.Decision, ...decided, transaction })
})

catalogue('where a stream stands comes back', () => {
  const stream = {
    ...STREAM_ENTRY,
    firstSegment: 0xffff_ffff,
    lastCheckpoint: Number.MAX_SAFE_INTEGER,
    segmentSince: PRODUCED_AT,
    trimPoint: {
      offset: Number.MAX_SAFE_INTEGER,
      hash: 'h'.repeat(32),
      recordHash: 'r'.repeat(32),
    },
  }
  const bytes = Buffer.alloc(streamEntryBytesMax(stream.name, stream.config, stream.producers))
  const end = encodeStreamEntry(bytes, 0, stream)
  assert.equal(decode(bytes), { type: EntryType.Stream, end, place: NO_PLACE, stream })
})

catalogue('the longest name comes back, at any place of a buffer', () => {
  const name = 'ä'.repeat(STREAM_NAME_BYTES_MAX / 2)
  const stream = { ...STREAM_ENTRY, name, closed: true }
  const room = streamEntryBytesMax(name, stream.config, stream.producers)
  const bytes = Buffer.alloc(5 + room, 0xff)
  const end = encodeStreamEntry(bytes, 5, stream)
  assert.equal(decodeEntry(bytes, 5), { type: EntryType.Stream, end, place: NO_PLACE, stream })
})

catalogue('every truncated prefix is rejected', () => {
  for (const bytes of ALL) assertRejectsPrefixes(bytes, decode)
})

catalogue('every flipped bit is rejected', () => {
  for (const bytes of ALL) assertRejectsFlips(bytes, decode)
})

catalogue('reserved bytes are rejected', () => {
  for (const bytes of ALL) rejectsSet(bytes, ENTRY_LAYOUT, 0, ['reserved'])
  rejectsSet(STREAM, STREAM_ENTRY_LAYOUT, ENTRY_HEADER_BYTES, ['reserved'])
})

catalogue('unknown versions, types and states are rejected', () => {
  for (const [at] of [ENTRY_LAYOUT.version, ENTRY_LAYOUT.type]) {
    for (const value of [0, 5, 255]) {
      assert.is(decode(patched(STREAM, at, value, sealOf(STREAM))), undefined)
    }
  }
  for (const version of [1, 2, 4]) {
    const other = patched(STREAM, ENTRY_LAYOUT.version[0], version, sealOf(STREAM))
    assert.is(decode(other), undefined)
  }
  rejects(STREAM, STREAM_ENTRY_LAYOUT.state[0], 2)
})

catalogue('a body of another length than its type has is rejected', () => {
  for (const [bytes, type] of ALL.flatMap(one => [1, 2, 3, 4].map(as => [one, as] as const))) {
    if (bytes[ENTRY_LAYOUT.type[0]] === type) continue
    assert.is(decode(patched(bytes, ENTRY_LAYOUT.type[0], type, sealOf(bytes))), undefined)
  }
  rejects(STREAM, STREAM_ENTRY_LAYOUT.nameLength[0], 7)
  rejects(STREAM, STREAM_ENTRY_LAYOUT.configLength[0] + 1, 0xff)
  rejects(STREAM, STREAM_ENTRY_LAYOUT.producersLength[0], 0x51)
  rejects(STREAM, STREAM_ENTRY_LAYOUT.producersLength[0] + 3, 0xff)
})

catalogue('a number past 2^53 - 1 is rejected', () => {
  const numbers = Object.entries(STREAM_ENTRY_LAYOUT).filter(([, [, width]]) => width === 8)
  assert.is(numbers.length, 9)
  for (const [, [at]] of numbers) rejects(STREAM, at + 7, 1)
  const { checkpointLsn, journalFile, blockNumber, timestamp, clockMicros } = COMMIT_ENTRY_LAYOUT
  const ofCommit = [checkpointLsn, journalFile, blockNumber, timestamp, clockMicros]
  for (const [at] of ofCommit) rejects(COMMITTED, at + 7, 1)
  rejects(DECIDED, 7, 1)
  const [position] = ENTRY_LAYOUT.position
  for (const one of ALL) assert.is(decode(patched(one, position + 7, 1, sealOf(one))), undefined)
})

catalogue('a decision on no transaction is rejected', () => {
  const none = Buffer.from(DECIDED)
  none.fill(0, ENTRY_HEADER_BYTES)
  assert.is(decode(patched(none, ENTRY_HEADER_BYTES, 0, sealOf(none))), undefined)
})

catalogue('an absurd length is rejected, and nothing is allocated for it', () => {
  for (const bytes of ALL) assertRejectsLength(bytes, ENTRY_LAYOUT.length, decode)
})

catalogue('zeroed space is not an entry', () => {
  assert.is(decode(Buffer.alloc(4096)), undefined)
})

catalogue.run()
