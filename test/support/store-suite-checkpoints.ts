import * as assert from 'uvu/assert'
import type { StreamStore } from '../../src/main/store.ts'
import { SEGMENT_BYTES_MIN } from '../../src/shared/limits.ts'
import type { Checkpoint } from '../../src/shared/protocol/streams.ts'
import { isSigned } from './signed-checkpoint.ts'
import {
  append,
  batchOf,
  collect,
  CONFIG,
  type Define,
  eventually,
  numbered,
  readJson,
  rejects,
  textsIn,
  textsOf,
} from './store-helpers.ts'

/** Signed anchors in the chain. */
export function testCheckpoints(test: Define): void {
  testSignatures(test)
  testAutomatic(test)
  testLists(test)
  testAnchors(test)
}

function testSignatures(test: Define): void {
  test('a checkpoint is signed by a key that is published', async store => {
    const { chainHead } = await append(store, 'a', 'x', 'y')
    const checkpoint = await store.checkpoint('a')
    const { stream, streamId, offset, recordCount, trimPoint } = checkpoint
    assert.equal([stream, offset, recordCount], ['a', 2, 2])
    assert.is(streamId, (await store.info('a')).streamId)
    assert.is(checkpoint.chainHead, chainHead)
    assert.equal(trimPoint, { offset: 0, chainHead: '0'.repeat(64) })
    assert.ok(await signedBy(store, checkpoint))
    assert.not.ok(await signedBy(store, { ...checkpoint, recordCount: 3 }))
    assert.is((await store.keys()).filter(({ active }) => active).length, 1)
  })

  test('a checkpoint has a place in the chain and no offset', async store => {
    await append(store, 'a', 'x')
    const before = await store.info('a')
    await store.checkpoint('a')
    const after = await store.info('a')
    assert.is(after.nextOffset, 1)
    assert.is.not(after.chainHead, before.chainHead)
    assert.is((await append(store, 'a', 'y')).firstOffset, 1)
    const { ok, verifiedRecords, chainHead } = await store.verify('a', {})
    assert.equal([ok, verifiedRecords], [true, 2])
    assert.is(chainHead, (await store.info('a')).chainHead)
    assert.equal(await textsIn(store, 'a'), ['x', 'y'])
  })

  test('a stream that was not appended to has the checkpoint that it has', async store => {
    await append(store, 'a', 'x')
    const first = await store.checkpoint('a')
    const { chainHead } = await store.info('a')
    assert.equal(await store.checkpoint('a'), first)
    assert.is((await store.info('a')).chainHead, chainHead)
    await append(store, 'a', 'y')
    assert.is((await store.checkpoint('a')).offset, 2)
  })

  test('an empty stream and a closed one can be signed', async store => {
    await store.create('a', CONFIG)
    const empty = await store.checkpoint('a')
    assert.equal([empty.offset, empty.chainHead], [0, '0'.repeat(64)])
    await append(store, 'a', 'x')
    await store.closeStream('a')
    const closed = await store.checkpoint('a')
    assert.is(closed.offset, 1)
    for (const checkpoint of [empty, closed]) assert.ok(await signedBy(store, checkpoint))
    const { ok, chainHead } = await store.verify('a', {})
    assert.equal([ok, chainHead], [true, (await store.info('a')).chainHead])
    await rejects(store.checkpoint('b'), 'stream_not_found')
  })
}

function testAutomatic(test: Define): void {
  test('a checkpoint follows the record that makes one due, within a batch too', async store => {
    await store.create('a', { ...CONFIG, checkpointEvery: 10 })
    for (const count of [25, 9, 1, 1]) await append(store, 'a', ...numbered(count))
    const { checkpoints } = await list(store)
    const { records } = await readJson(store, 'a', { verify: 'genesis' })
    assert.equal(
      checkpoints.map(({ offset, chainHead }) => [offset, chainHead]),
      [10, 20, 30].map(offset => [offset, records[offset - 1]?.hash]),
    )
    for (const checkpoint of checkpoints) assert.ok(await signedBy(store, checkpoint))
  })

  test('an append answers with the hash of its last record and the head behind it', async store => {
    await store.create('a', { ...CONFIG, checkpointEvery: 2 })
    const { recordHash, chainHead, streamId } = await append(store, 'a', 'x', 'y')
    const { records } = await readJson(store, 'a', { verify: 'genesis' })
    assert.is(records[1]?.hash, recordHash)
    const info = await store.info('a')
    assert.equal([chainHead, streamId], [info.chainHead, info.streamId])
    assert.is.not(chainHead, recordHash)
  })

  test('a transaction answers with the head behind its records', async store => {
    await store.create('a', { ...CONFIG, checkpointEvery: 2 })
    const { appends } = await store.transact([{ stream: 'a', ...batchOf('x', 'y') }])
    assert.is(appends[0]?.chainHead, (await store.info('a')).chainHead)
  })

  test('another number of records between checkpoints holds from then on', async store => {
    await append(store, 'a', 'x', 'y')
    await store.configure('a', { checkpointEvery: 1 })
    for (const text of ['x', 'y']) await append(store, 'a', text)
    assert.equal(await offsetsOf(store), [2, 3, 4])
  })

  test('a configuration, a trim and a close are each signed as they are answered', async store => {
    await append(store, 'a', 'x', 'y')
    const { stateHash: created } = await store.checkpoint('a')
    await store.configure('a', { checkpointEvery: 7 })
    await store.trim('a', 1)
    await store.closeStream('a')
    const page = await store.checkpoints('a', { from: 0, limit: 10 })
    const changes = page.checkpoints.map(({ change }) => change)
    assert.equal(changes, ['none', 'configure', 'trim', 'close'])
    const hashes = page.checkpoints.map(({ stateHash }) => stateHash)
    assert.equal([hashes[0], new Set(hashes).size], [created, 4])
    const keys = await store.keys()
    for (const { timestamp: timestampMicros, ...checkpoint } of page.checkpoints) {
      assert.ok(isSigned({ ...checkpoint, timestampMicros }, keys))
    }
    assert.is((await store.verify('a', {})).ok, true)
  })

  test('a stream verifies to its head behind several checkpoints of one offset', async store => {
    await store.create('a', { ...CONFIG, checkpointEvery: 2 })
    await append(store, 'a', 'x', 'y')
    await store.configure('a', { checkpointEvery: 3 })
    await store.closeStream('a')
    const { chainHead } = await store.info('a')
    const report = await store.verify('a', {})
    assert.equal([report.ok, report.chainHead], [true, chainHead])
    for (const verify of ['links', 'checkpoint', 'genesis'] as const) {
      assert.equal(textsOf(await readJson(store, 'a', { verify })), ['x', 'y'])
    }
  })

  test('a configuration that changes nothing, and a second close, sign nothing', async store => {
    await append(store, 'a', 'x')
    await store.configure('a', {})
    await store.closeStream('a')
    await store.closeStream('a')
    const { checkpoints } = await store.checkpoints('a', { from: 0, limit: 10 })
    assert.is(checkpoints.length, 1)
  })

  test('subscribers and readers of every kind see records alone', async store => {
    await store.create('a', { ...CONFIG, checkpointEvery: 2 })
    const listener = collect()
    await store.subscribe('a', listener)
    for (const text of numbered(9)) await append(store, 'a', text)
    await listener.until(9)
    assert.equal(listener.offsets, numbered(9).map(Number))
    for (const verify of ['none', 'links', 'checkpoint', 'genesis'] as const) {
      assert.equal(textsOf(await readJson(store, 'a', { verify })), numbered(9))
      const back = await readJson(store, 'a', { verify, from: 'end', direction: 'backward' })
      assert.equal(textsOf(back), numbered(9).toReversed())
      const part = await readJson(store, 'a', { verify, from: 3, limit: 3 })
      assert.equal([textsOf(part), part.nextOffset], [['3', '4', '5'], 6])
    }
  })

  test('a checkpoint alone is nothing to a subscriber', async store => {
    await append(store, 'a', 'x')
    const listener = collect()
    const chunks: [number, number][] = []
    await store.subscribe('a', {
      onRecords: ({ firstOffset, nextOffset }) => chunks.push([firstOffset, nextOffset]),
      onEnd: () => undefined,
    })
    await store.subscribe('a', listener)
    await store.checkpoint('a')
    await append(store, 'a', 'y')
    await listener.until(2)
    assert.equal(chunks, [[1, 2]])
  })

  test('a segment ends with a checkpoint, and the chain goes through it', async store => {
    await store.create('a', { ...CONFIG, maxSegmentBytes: SEGMENT_BYTES_MIN })
    const sent = numbered(30).map(text => text.padEnd(8000, '.'))
    for (const text of sent) await append(store, 'a', text)
    const offsets = await offsetsOf(store)
    await eventually(async () => (await store.info('a')).segments === offsets.length + 1)
    assert.ok(offsets.length > 2 && offsets.every(offset => offset > 0 && offset < 30))
    assert.equal(await textsIn(store, 'a'), sent)
    assert.ok((await store.verify('a', {})).ok)
  })
}

function testLists(test: Define): void {
  test('checkpoints are listed page by page', async store => {
    await store.create('a', { ...CONFIG, checkpointEvery: 1 })
    for (const text of numbered(7)) await append(store, 'a', text)
    const seen: number[] = []
    for (let from: number | null = 0; from !== null; ) {
      const page: Awaited<ReturnType<typeof list>> = await list(store, from, 3)
      assert.ok(page.checkpoints.length <= 3)
      seen.push(...page.checkpoints.map(({ offset }) => offset))
      from = page.next
    }
    assert.equal(seen, [1, 2, 3, 4, 5, 6, 7])
    assert.equal(await offsetsOf(store, 5), [5, 6, 7])
    assert.equal(await offsetsOf(store, 8), [])
  })

  test('checkpoints of one offset are never parted by a page', async store => {
    await store.create('a', { ...CONFIG, checkpointEvery: 1 })
    await append(store, 'a', 'x')
    await store.checkpoint('a')
    await append(store, 'a', 'y')
    const { checkpoints, next } = await list(store, 0, 1)
    assert.ok(checkpoints.length >= 1 && checkpoints.every(({ offset }) => offset === 1))
    assert.is(next, 2)
    await rejects(list(store, 0, 1, 'b'), 'stream_not_found')
  })

  test('what is trimmed has no checkpoints', async store => {
    await store.create('a', { ...CONFIG, checkpointEvery: 1 })
    for (const text of numbered(5)) await append(store, 'a', text)
    await store.trim('a', 5)
    await append(store, 'a', 'x')
    const { checkpoints } = await list(store, 6)
    assert.is(checkpoints.length, 1)
    assert.ok(checkpoints.every(({ offset }) => offset === 6))
  })
}

function testAnchors(test: Define): void {
  test('a part is verified from the nearest checkpoint', async store => {
    await store.create('a', { ...CONFIG, checkpointEvery: 4 })
    for (const text of numbered(10)) await append(store, 'a', text)
    const whole = await store.verify('a', {})
    assert.equal([whole.anchor, whole.verifiedRecords], ['genesis', 10])
    for (const from of [4, 5, 9, 10]) {
      const { ok, anchor, verifiedRecords, chainHead } = await store.verify('a', { from })
      assert.equal([ok, anchor, verifiedRecords], [true, 'checkpoint', 10 - from])
      assert.is(chainHead, whole.chainHead)
    }
    assert.is((await store.verify('a', { from: 3 })).anchor, 'genesis')
    assert.is((await store.verify('a', { from: 5, to: 7 })).verifiedRecords, 2)
  })

  test('hashes are the same from a checkpoint and from the first record', async store => {
    await store.create('a', { ...CONFIG, checkpointEvery: 4 })
    for (const text of numbered(10)) await append(store, 'a', text)
    const genesis = (await readJson(store, 'a', { verify: 'genesis' })).records
    for (const from of [0, 3, 4, 6, 9]) {
      const { records } = await readJson(store, 'a', { verify: 'checkpoint', from })
      assert.equal(records, genesis.slice(from))
      assert.match(records[0]?.hash ?? '', /^[0-9a-f]{64}$/)
    }
  })
}

async function signedBy(store: StreamStore, checkpoint: Checkpoint): Promise<boolean> {
  const { timestamp: timestampMicros } = checkpoint
  return isSigned({ ...checkpoint, timestampMicros }, await store.keys())
}

function list(store: StreamStore, from = 0, limit = 1000, stream = 'a') {
  return store.checkpoints(stream, { from, limit })
}

async function offsetsOf(store: StreamStore, from = 0): Promise<number[]> {
  return (await list(store, from)).checkpoints.map(({ offset }) => offset)
}
