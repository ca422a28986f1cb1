import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StoreError } from '../../../src/shared/errors.ts'
import type { ReadRange } from '../../../src/shared/protocol/shard.ts'
import { IncompleteStreams, VisibleStreams } from '../../../src/workers/engine/visible-streams.ts'
import type { StreamTable } from '../../../src/workers/streams/stream-table.ts'
import { recoverShard } from '../../../src/workers/recovery/open-shard.ts'
import { SMALL_OPTIONS, StoreMaker } from '../../support/inspected-store.ts'
import { Random } from '../../support/random.ts'
import { Clock } from '../../support/simulated-shard.ts'

const FIRST: ReadRange = {
  from: 'start',
  direction: 'forward',
  limit: 3,
  maxBytes: 1e6,
  since: undefined,
  wholeTail: false,
  fromCheckpoint: false,
}

const visible = suite('workers/engine/visible-streams')

visible('a sound shard says where a stream ends and which streams there are not', () => {
  const streams = new VisibleStreams(storedTable())
  assert.is(streams.plan('a', { ...FIRST, limit: 100 }).high, 6)
  assert.is(streams.end('a').nextOffset, 6)
  assert.equal(codeOf(() => streams.info('b')).code, 'stream_not_found')
  assert.equal(codeOf(() => streams.plan('a', { ...FIRST, from: 7 })).code, 'beyond_end')
})

visible('reads wholly below the known end of an incomplete shard are answered', () => {
  const streams = new IncompleteStreams(storedTable())
  const ranges: Partial<ReadRange>[] = [
    {},
    { from: 3 },
    { from: 5, limit: 1 },
    { from: 6, direction: 'backward', limit: 100 },
    { limit: 1e9, below: 6 },
  ]
  for (const range of ranges) {
    assert.is(streams.plan('a', { ...FIRST, ...range }).nextOffset, 6, JSON.stringify(range))
  }
})

visible('a read that what is missing could change is refused with what is known', () => {
  const streams = new IncompleteStreams(storedTable())
  const ranges: Partial<ReadRange>[] = [
    { limit: 7 },
    { from: 6 },
    { from: 7 },
    { from: 4 },
    { from: 'end' },
    { from: 'end', direction: 'backward' },
    { from: 7, direction: 'backward' },
    { since: 1 },
    { below: 7 },
  ]
  for (const range of ranges) {
    const found = codeOf(() => streams.plan('a', { ...FIRST, ...range }))
    assert.equal(found, { code: 'shard_failed', known: 6 }, JSON.stringify(range))
  }
})

visible('an incomplete shard vouches for no end, no list and no missing stream', () => {
  const streams = new IncompleteStreams(storedTable())
  assert.equal(
    codeOf(() => streams.info('a')),
    { code: 'shard_failed', known: 6 },
  )
  assert.equal(
    codeOf(() => streams.end('a')),
    { code: 'shard_failed', known: 6 },
  )
  assert.is(codeOf(() => streams.list()).code, 'shard_failed')
  assert.is(codeOf(() => streams.info('b')).code, 'shard_failed')
  assert.is(codeOf(() => streams.plan('b', FIRST)).code, 'shard_failed')
})

/** Of one stream with 6 records, all of them in segments. */
function storedTable(): StreamTable {
  const maker = new StoreMaker()
  maker.append('a', 6)
  maker.store()
  const environment = new Clock().environment(new Random(3))
  return recoverShard(maker.copy().disk, environment, 0, SMALL_OPTIONS).table
}

function codeOf(act: () => unknown): { code: string; known?: unknown } {
  try {
    act()
  } catch (error) {
    assert.instance(error, StoreError)
    const { code, fields } = error as StoreError
    return { code, known: fields['knownNextOffset'] }
  }
  throw new Error('it was answered')
}

visible.run()
