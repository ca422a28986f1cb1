import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StoreError } from '../../../src/shared/errors.ts'
import type { ReadRequest } from '../../../src/shared/protocol/streams.ts'
import { planRead } from '../../../src/workers/engine/read-planner.ts'
import { openDataDirectory } from '../../../src/workers/recovery/data-directory.ts'
import { recoverShard } from '../../../src/workers/recovery/open-shard.ts'
import { readStream } from '../../../src/workers/streams/read-stream.ts'
import {
  checkpointsIn,
  recordsIn,
  segmentOf,
  SMALL_OPTIONS,
  type SmallStore,
  StoreMaker,
} from '../../support/inspected-store.ts'
import { Random } from '../../support/random.ts'
import { Clock } from '../../support/simulated-shard.ts'

/** A store with several segments, whose first one has its last checkpoint damaged. */
function damagedSeal(): SmallStore & { next: number } {
  const maker = new StoreMaker()
  maker.append('orders', 12)
  maker.store()
  return damage(maker.copy(), bytes => recordsIn(bytes).length)
}

/** A store whose only segment has a damaged checkpoint between two records. */
function damagedInside(): SmallStore & { next: number } {
  const maker = new StoreMaker()
  maker.append('orders', 2)
  maker.checkpoint('orders')
  maker.append('orders', 2)
  maker.store()
  return damage(maker.copy(), () => 2)
}

/** A store whose stream ends with a damaged checkpoint. */
function damagedEnd(): SmallStore {
  const maker = new StoreMaker()
  maker.append('orders', 2)
  maker.checkpoint('orders')
  maker.store()
  return damage(maker.copy(), () => 2)
}

function damage(
  store: SmallStore,
  nextOf: (bytes: Buffer) => number,
): SmallStore & { next: number } {
  const path = segmentOf(store.disk, 'orders', 0)
  const next = nextOf(store.disk.content(path))
  store.disk.change(path, bytes => {
    const place = checkpointsIn(bytes).find(({ offset }) => offset === next)
    assert.ok(place)
    bytes[place.at + 80] = (bytes[place.at + 80] as number) ^ 8
  })
  return { ...store, next }
}

function read({ disk }: SmallStore, request: Partial<ReadRequest>): readonly string[] {
  const environment = new Clock().environment(new Random(1))
  openDataDirectory(disk, environment, 1)
  const { table } = recoverShard(disk, environment, 0, SMALL_OPTIONS)
  const whole = { from: 0, direction: 'forward', limit: 1000, maxBytes: 1e6 } as const
  const asked = { ...whole, verify: 'none', encoding: 'json', ...request } as ReadRequest
  const bounds = { since: undefined, wholeTail: true, fromCheckpoint: false }
  const plan = planRead(table.durable('orders'), { ...asked, ...bounds })
  const { records } = readStream(disk, plan, asked).selection
  return records.map(({ bytes, record }) => bytes.utf8Slice(record.bodyAt, record.bodyEnd))
}

function refused(store: SmallStore, request: Partial<ReadRequest>): readonly unknown[] {
  try {
    read(store, request)
  } catch (error) {
    assert.instance(error, StoreError)
    const { code, fields } = error as StoreError
    return [code, fields.firstCorruptOffset, fields.nextReadableOffset]
  }
  return []
}

const damaged = suite('workers/streams/damaged-checkpoint')

for (const [where, make] of [
  ['between two records', damagedInside],
  ["at its segment's end", damagedSeal],
] as const) {
  damaged(`a damaged checkpoint ${where} refuses the chain over it at the record behind`, () => {
    const store = make()
    const expected = ['corrupt_record', store.next, store.next + 1]
    assert.equal(refused(store, { verify: 'genesis' }), expected)
    assert.equal(refused(store, { verify: 'checkpoint', from: store.next - 1 }), expected)
    assert.equal(refused(store, { verify: 'checkpoint', from: store.next }), [])
  })

  damaged(`a damaged checkpoint ${where} costs no record that its neighbours vouch for`, () => {
    const store = make()
    assert.equal(read(store, { verify: 'links' }), store.bodies.get('orders'))
  })

  damaged(`a damaged checkpoint ${where} keeps no record from a read without checks`, () => {
    const store = make()
    const bodies = store.bodies.get('orders') ?? []
    assert.equal(read(store, {}), bodies)
    assert.equal(read(store, { from: store.next - 1, limit: 1 }), [bodies[store.next - 1]])
    assert.equal(read(store, { from: store.next, limit: 1 }), [bodies[store.next]])
  })
}

damaged("a damaged checkpoint at the stream's end is named by the record before it", () => {
  const store = damagedEnd()
  assert.equal(refused(store, { verify: 'genesis' }), ['corrupt_record', 1, 2])
  assert.equal(read(store, {}), store.bodies.get('orders'))
})

damaged.run()
