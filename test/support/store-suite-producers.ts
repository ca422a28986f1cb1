import * as assert from 'uvu/assert'
import type { AppendRequest, StreamStore } from '../../src/main/store.ts'
import { PRODUCERS_MAX } from '../../src/shared/limits.ts'
import type { Producer } from '../../src/shared/protocol/streams.ts'
import { batchOf, CONFIG, type Define, numbered, rejects, textsIn } from './store-helpers.ts'

/** Exactly once by producer, epoch and seq. */
export function testProducers(test: Define): void {
  testRepeats(test)
  testRefusals(test)
}

function testRepeats(test: Define): void {
  test('a repeat is answered like the first time, and appends nothing', async store => {
    const answers = []
    for (const seq of [0, 1, 2]) answers.push(await produce(store, { seq }))
    for (const seq of [2, 0, 1, 1]) {
      assert.equal(await produce(store, { seq }), { ...answers[seq], duplicate: true })
    }
    assert.equal((await textsIn(store, 'a')).length, 3)
    assert.is((await produce(store, { seq: 3 })).firstOffset, 3)
  })

  test('repeats that come at once are one append', async store => {
    const same = numbered(10).map(() => produce(store, { seq: 0 }))
    const answers = await Promise.all(same)
    assert.is(answers.filter(({ duplicate }) => !duplicate).length, 1)
    assert.ok(answers.every(({ firstOffset, durable }) => firstOffset === 0 && durable))
    assert.is((await store.info('a')).nextOffset, 1)
  })

  test('a producer may have many appends under way', async store => {
    const sent = numbered(50).map(seq => produce(store, { seq: Number(seq) }))
    const offsets = (await Promise.all(sent)).map(({ firstOffset }) => firstOffset)
    assert.equal(offsets, numbered(50).map(Number))
  })

  test('producers count by themselves, in every stream', async store => {
    await produce(store, { seq: 0 })
    await produce(store, { seq: 1 })
    assert.is((await produce(store, { id: 'é', seq: 0 })).firstOffset, 2)
    assert.is((await produce(store, { seq: 0 }, { stream: 'b' })).duplicate, false)
    assert.is((await produce(store, { id: 'é', seq: 0 })).duplicate, true)
  })

  test('a repeat is answered whatever it expects of the stream', async store => {
    const first = await produce(store, { seq: 0 }, { expectedOffset: 0 })
    const repeat = await produce(store, { seq: 0 }, { expectedOffset: 0 })
    assert.equal([repeat.duplicate, repeat.chainHead], [true, first.chainHead])
    const mismatch = await rejects(
      produce(store, { seq: 1 }, { expectedOffset: 0 }),
      'offset_mismatch',
    )
    assert.equal(mismatch.fields, { nextOffset: 1, outcome: 'not_applied' })
    assert.is((await produce(store, { seq: 1 }, { expectedOffset: 1 })).firstOffset, 1)
  })

  test('a repeat is answered when the stream is closed or trimmed', async store => {
    await produce(store, { seq: 0 })
    await store.trim('a', 1)
    assert.is((await produce(store, { seq: 0 })).firstOffset, 0)
    await store.closeStream('a')
    assert.is((await produce(store, { seq: 0 })).duplicate, true)
    await rejects(produce(store, { seq: 1 }), 'stream_closed')
  })

  test('a relaxed append is not made twice either', async store => {
    const durability = 'relaxed'
    const first = await produce(store, { seq: 0 }, { durability })
    const repeat = await produce(store, { seq: 0 }, { durability })
    assert.equal([repeat.firstOffset, repeat.duplicate], [first.firstOffset, true])
    await store.barrier()
    assert.is((await store.info('a')).nextOffset, 1)
  })
}

function testRefusals(test: Define): void {
  test('a new epoch starts at 0 and fences the one before', async store => {
    await produce(store, { epoch: 1, seq: 0 })
    await refuse(store, { epoch: 2, seq: 1 }, 'invalid_request')
    assert.is((await produce(store, { epoch: 1, seq: 1 })).firstOffset, 1)
    assert.is((await produce(store, { epoch: 2, seq: 0 })).firstOffset, 2)
    for (const seq of [0, 1, 2]) await refuse(store, { epoch: 1, seq }, 'producer_fenced')
    assert.is((await produce(store, { epoch: 2, seq: 0 })).duplicate, true)
    const { MAX_SAFE_INTEGER: epoch } = Number
    assert.is((await produce(store, { epoch, seq: 0 })).firstOffset, 3)
  })

  test('a gap says which seq is next', async store => {
    await produce(store, { seq: 0 })
    const failure = await refuse(store, { seq: 2 }, 'producer_gap')
    assert.equal(failure.fields, { expectedSeq: 1, outcome: 'not_applied' })
    await refuse(store, { seq: Number.MAX_SAFE_INTEGER }, 'producer_gap')
    assert.is((await produce(store, { seq: 1 })).firstOffset, 1)
  })

  test('an unknown producer starts at 0, and creates no stream otherwise', async store => {
    await refuse(store, { seq: 1 }, 'invalid_request')
    await rejects(store.info('a'), 'stream_not_found')
    await store.create('a', CONFIG)
    await refuse(store, { seq: 1 }, 'invalid_request')
    assert.is((await produce(store, { seq: 0 })).firstOffset, 0)
  })

  test('a stream that is created again knows no producers', async store => {
    await produce(store, { seq: 0 })
    await store.remove('a')
    await store.create('a', CONFIG)
    await refuse(store, { seq: 1 }, 'invalid_request')
    assert.is((await produce(store, { seq: 0 })).duplicate, false)
  })

  test('a repeat from long ago is refused, and appends nothing', async store => {
    await Promise.all(numbered(1000).map(seq => produce(store, { seq: Number(seq) })))
    const failure = await refuse(store, { seq: 0 }, 'invalid_request')
    assert.equal([failure.fields.duplicate, failure.fields.expectedSeq], [true, 1000])
    assert.is((await produce(store, { seq: 999 })).duplicate, true)
    assert.is((await store.info('a')).nextOffset, 1000)
  })

  test('a stream remembers so many producers and refuses more', async store => {
    await Promise.all(numbered(PRODUCERS_MAX).map(id => produce(store, { id, seq: 0 })))
    await refuse(store, { id: 'one more', seq: 0 }, 'too_many_requests')
    assert.is((await produce(store, { id: '0', seq: 1 })).duplicate, false)
    assert.is((await store.info('a')).nextOffset, PRODUCERS_MAX + 1)
  })
}

function produce(
  store: StreamStore,
  { id = 'p', epoch = 0, seq }: Partial<Producer> & { readonly seq: number },
  rest: Partial<AppendRequest> = {},
) {
  return store.append({ stream: 'a', ...batchOf(`${seq}`), ...rest, producer: { id, epoch, seq } })
}

async function refuse(
  store: StreamStore,
  producer: Partial<Producer> & { readonly seq: number },
  code: string,
) {
  const failure = await rejects(produce(store, producer), code)
  assert.is(failure.fields.outcome, 'not_applied')
  return failure
}
