import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { GENESIS_HASH } from '../../../src/shared/format/chain.ts'
import {
  type LocatedRecord,
  type PageSelection,
  PageWindow,
  selectPage,
} from '../../../src/shared/format/read-page.ts'
import { RecordFormat, RecordKind } from '../../../src/shared/format/record.ts'
import type { ReadRequest } from '../../../src/shared/protocol/streams.ts'
import { Random } from '../../support/random.ts'

const SEED = 20_261_121
const NO_BYTES = Buffer.alloc(0)

function locate(offset: number, bodyLength: number): LocatedRecord {
  const record = {
    offset,
    timestamp: 0,
    kind: RecordKind.Data,
    compression: 0,
    format: RecordFormat.Binary,
    rawLength: bodyLength,
    previousHash: GENESIS_HASH,
    at: 0,
    headersAt: 0,
    bodyAt: 0,
    bodyEnd: bodyLength,
    end: bodyLength,
  }
  return { bytes: NO_BYTES, record }
}

function request(limit: number, maxBytes: number): ReadRequest {
  return {
    from: 'end',
    direction: 'backward',
    limit,
    maxBytes,
    verify: 'none',
    encoding: 'json',
  }
}

function offsetsOf({ records }: PageSelection): number[] {
  return records.map(({ record }) => record.offset)
}

/** What a page backward is: from the last down, while they fit; one at least. */
function expectedOffsets(
  lengths: readonly number[],
  low: number,
  high: number,
  { limit, maxBytes }: ReadRequest,
): number[] {
  const offsets: number[] = []
  let bytes = 0
  for (let offset = high - 1; offset >= low && offsets.length < limit; offset -= 1) {
    bytes += lengths[offset] ?? 0
    if (offsets.length > 0 && bytes > maxBytes) break
    offsets.push(offset)
  }
  return offsets
}

const readPage = suite('shared/format/read-page')

readPage('a page backward has the last records that fit, the last one first', () => {
  const random = new Random(SEED)
  for (let round = 0; round < 500; round += 1) {
    const lengths = Array.from({ length: random.below(40) }, () => random.below(100))
    const low = random.below(lengths.length + 1)
    const high = low + random.below(lengths.length - low + 1)
    const page = request(1 + random.below(20), 1 + random.below(400))
    const records = lengths.map((length, at) => locate(at, length))
    const selection = selectPage(records, low, high, page, 0)
    const expected = expectedOffsets(lengths, low, high, page)
    assert.equal(offsetsOf(selection), expected, `seed ${SEED}, round ${round}`)
    assert.is(selection.nextOffset, high - expected.length)
    const window = new PageWindow<number>(page.limit, page.maxBytes)
    for (const { record } of records.slice(low, high)) window.push(record.offset, record.rawLength)
    assert.is(window.items()[0], expected.at(-1), `seed ${SEED}, round ${round}`)
    assert.is(window.isFull, expected.length < high - low)
    assert.is(selection.firstOffset, expected[0] ?? high)
  }
})

readPage('a page backward does not wait for what lies behind it', () => {
  let asked = 0
  function* records() {
    for (let offset = 0; offset < 100; offset += 1) {
      asked += 1
      yield locate(offset, 10)
    }
  }
  assert.equal(offsetsOf(selectPage(records(), 0, 5, request(2, 1000), 0)), [4, 3])
  assert.is(asked, 5)
})

readPage.run()
