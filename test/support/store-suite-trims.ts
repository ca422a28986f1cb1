import * as assert from 'uvu/assert'
import type { StreamStore } from '../../src/main/store.ts'
import { SEGMENT_BYTES_MIN } from '../../src/shared/limits.ts'
import {
  append,
  CONFIG,
  type Define,
  eventually,
  numbered,
  READ,
  readJson,
  rejects,
  textsIn,
  textsOf,
} from './store-helpers.ts'

/** Records dropped from the front. */
export function testTrims(test: Define): void {
  testBounds(test)
  testReads(test)
  testSegments(test)
}

function testBounds(test: Define): void {
  test('a trim moves the first offset, and never back', async store => {
    await append(store, 'a', ...numbered(10))
    assert.is((await store.trim('a', 0)).firstOffset, 0)
    const info = await store.trim('a', 3)
    assert.equal([info.firstOffset, info.nextOffset], [3, 10])
    assert.is((await store.trim('a', 1)).firstOffset, 3)
    assert.is((await store.trim('a', 3)).firstOffset, 3)
    assert.is((await store.info('a')).firstOffset, 3)
    assert.equal(await textsIn(store, 'a'), numbered(10).slice(3))
  })

  test('a trim above the end is refused and changes nothing', async store => {
    await append(store, 'a', 'x', 'y')
    const failure = await rejects(store.trim('a', 3), 'beyond_end')
    assert.is(failure.fields.nextOffset, 2)
    await rejects(store.trim('a', Number.MAX_SAFE_INTEGER), 'beyond_end')
    assert.is((await store.info('a')).firstOffset, 0)
    await rejects(store.trim('b', 0), 'stream_not_found')
  })

  test('a stream trimmed to its end is empty and goes on', async store => {
    await append(store, 'a', ...numbered(5))
    assert.equal((await store.trim('a', 5)).firstOffset, 5)
    const page = await readJson(store, 'a')
    assert.equal([page.firstOffset, page.nextOffset, page.tailOffset, page.count], [5, 5, 5, 0])
    assert.is((await append(store, 'a', '5')).firstOffset, 5)
    assert.equal(await textsIn(store, 'a'), ['5'])
    const { ok, verifiedRecords, from, to } = await store.verify('a', {})
    assert.equal([ok, verifiedRecords, from, to], [true, 1, 5, 6])
  })

  test('an empty stream is trimmed to its end, and a closed one too', async store => {
    await store.create('a', CONFIG)
    assert.is((await store.trim('a', 0)).firstOffset, 0)
    await rejects(store.trim('a', 1), 'beyond_end')
    await append(store, 'a', 'x', 'y')
    await store.closeStream('a')
    const { firstOffset, state } = await store.trim('a', 1)
    assert.equal([firstOffset, state], [1, 'closed'])
    assert.is((await store.trim('a', 2)).firstOffset, 2)
  })
}

function testReads(test: Define): void {
  test('a read below what is kept says where that begins', async store => {
    await append(store, 'a', ...numbered(5))
    await store.trim('a', 3)
    for (const verify of ['none', 'links', 'checkpoint', 'genesis'] as const) {
      const failure = await rejects(store.read('a', { ...READ, from: 2, verify }), 'trimmed')
      assert.is(failure.fields.firstOffset, 3)
      assert.equal(textsOf(await readJson(store, 'a', { from: 3, verify })), ['3', '4'])
    }
    assert.equal(textsOf(await readJson(store, 'a', { from: 'start' })), ['3', '4'])
    assert.equal(textsOf(await readJson(store, 'a', { since: 0 })), ['3', '4'])
  })

  test('a backward read ends at the first record kept, and says that it is done', async store => {
    await append(store, 'a', ...numbered(5))
    await store.trim('a', 2)
    const direction = 'backward'
    const first = await readJson(store, 'a', { from: 'end', direction, limit: 2 })
    assert.equal([textsOf(first), first.nextOffset], [['4', '3'], 3])
    const last = await readJson(store, 'a', { from: 3, direction })
    assert.equal([textsOf(last), last.nextOffset], [['2'], 0])
    const none = await readJson(store, 'a', { from: 2, direction })
    assert.equal([none.count, none.nextOffset], [0, 0])
    await rejects(store.read('a', { ...READ, from: 1, direction }), 'trimmed')
  })

  test('a part of the chain below what is kept is not verified', async store => {
    await append(store, 'a', ...numbered(5))
    await store.trim('a', 2)
    const { ok, from, to, verifiedRecords } = await store.verify('a', { from: 0, to: 4 })
    assert.equal([ok, from, to, verifiedRecords], [true, 2, 4, 2])
  })
}

function testSegments(test: Define): void {
  test('whole segments go, and the chain is verified from where they ended', async store => {
    await fillSegments(store)
    await eventually(async () => (await store.info('a')).segments > 3)
    const before = await store.info('a')
    const trimmed = await store.trim('a', 30)
    assert.is.not(trimmed.chainHead, before.chainHead, 'a checkpoint signs the trim')
    await eventually(async () => (await store.verify('a', {})).anchor === 'trim')
    const { ok, verifiedRecords, chainHead } = await store.verify('a', {})
    assert.equal([ok, verifiedRecords, chainHead], [true, 10, trimmed.chainHead])
    const after = await store.info('a')
    assert.ok(after.segments < before.segments)
    assert.ok(after.recordBytes < before.recordBytes)
    assert.is((await textsIn(store, 'a')).length, 10)
  })

  test('the next checkpoint signs where the records begin that are kept', async store => {
    await fillSegments(store)
    const { trimPoint } = await store.checkpoint('a')
    assert.equal(trimPoint, { offset: 0, chainHead: '0'.repeat(64) })
    await store.trim('a', 30)
    await eventually(async () => (await store.verify('a', {})).anchor === 'trim')
    await append(store, 'a', 'x')
    const after = (await store.checkpoint('a')).trimPoint
    assert.ok(after.offset > 20 && after.offset <= 30)
    assert.match(after.chainHead, /^[0-9a-f]{64}$/)
    assert.is.not(after.chainHead, trimPoint.chainHead)
  })

  test('a stream trimmed to its end keeps no segment with records', async store => {
    await fillSegments(store)
    await store.trim('a', 40)
    await eventually(async () => (await store.info('a')).recordBytes === 0)
    assert.is((await append(store, 'a', 'x')).firstOffset, 40)
    const { ok, anchor, verifiedRecords } = await store.verify('a', {})
    assert.equal([ok, anchor, verifiedRecords], [true, 'trim', 1])
  })
}

/** 40 records over several segments. */
async function fillSegments(store: StreamStore): Promise<void> {
  await store.create('a', { ...CONFIG, maxSegmentBytes: SEGMENT_BYTES_MIN })
  for (const text of numbered(40)) await append(store, 'a', text.padEnd(8000, '.'))
}
