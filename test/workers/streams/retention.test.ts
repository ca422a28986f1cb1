import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Retention } from '../../../src/shared/protocol/streams.ts'
import { findLetGo, hasRetention, nextExpiry } from '../../../src/workers/streams/retention.ts'

const retention = suite('workers/streams/retention')

const SECOND = 1e6
const NOW = 1000 * SECOND
/** Three sealed segments of 10 records and 100 bytes, 5 records and 50 bytes behind them. */
const SEALED = [0, 1, 2].map(at => ({
  firstOffset: 10 * at,
  nextOffset: 10 * at + 10,
  bytes: 100,
  lastTimestamp: (100 + 100 * at) * SECOND,
}))
const STREAM = { sealed: SEALED, nextOffset: 35, recordBytes: 350 }

// biome-ignore format: a table is read by column
const CASES: readonly (readonly [bound: Retention, before: number | undefined, bytes?: number])[] = [
  [{},                                    undefined],
  [{ maxRecords: 100 },                   undefined],
  [{ maxRecords: 26 },                    undefined],
  [{ maxRecords: 25 },                    10, 100],
  [{ maxRecords: 16 },                    10, 100],
  [{ maxRecords: 15 },                    20, 200],
  [{ maxRecords: 5 },                     30, 300],
  [{ maxRecords: 1 },                     30, 300],
  [{ maxBytes: 251 },                     undefined],
  [{ maxBytes: 250 },                     10, 100],
  [{ maxBytes: 149 },                     20, 200],
  [{ maxBytes: 50 },                      30, 300],
  [{ maxAgeSeconds: 901 },                undefined],
  [{ maxAgeSeconds: 900 },                10, 100],
  [{ maxAgeSeconds: 800 },                20, 200],
  [{ maxAgeSeconds: 1 },                  30, 300],
  [{ maxAgeSeconds: 900, maxRecords: 15 }, 20, 200],
  [{ maxAgeSeconds: 800, maxBytes: 999 },  20, 200],
]

for (const [bound, before, bytes] of CASES) {
  retention(`${JSON.stringify(bound)} lets go below ${before ?? 'nothing'}`, () => {
    const found = findLetGo(STREAM, bound, NOW)
    assert.equal(found, before === undefined ? undefined : { before, bytes })
  })
}

retention('without a sealed segment nothing goes', () => {
  const stream = { ...STREAM, sealed: [] }
  assert.is(findLetGo(stream, { maxRecords: 1, maxBytes: 1, maxAgeSeconds: 1 }, NOW), undefined)
})

retention('the next expiry is that of the first segment', () => {
  const aged = { maxAgeSeconds: 50 }
  assert.is(nextExpiry(SEALED, aged), 150 * SECOND)
  assert.is(nextExpiry([], aged), Number.POSITIVE_INFINITY)
  assert.is(nextExpiry(SEALED, { maxRecords: 1 }), Number.POSITIVE_INFINITY)
})

retention('any bound is a retention, none is not', () => {
  assert.not.ok(hasRetention({}))
  assert.ok(hasRetention({ maxAgeSeconds: 1 }))
  assert.ok(hasRetention({ maxBytes: 1 }))
  assert.ok(hasRetention({ maxRecords: 1 }))
})

retention.run()
