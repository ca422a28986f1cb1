import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Hub } from '../../../src/main/tail/hub.ts'
import { Subscription } from '../../../src/main/tail/subscription.ts'
import type { StoreError } from '../../../src/shared/errors.ts'
import { corrupt } from '../../../src/shared/format/vouching.ts'
import type { ReadPage, ReadRequest } from '../../../src/shared/protocol/streams.ts'
import { FakeSink } from '../../support/fake-sink.ts'
import { MemoryStore, until } from '../../support/memory-store.ts'
import { append, numbered } from '../../support/store-helpers.ts'

const COUNT = 10
const LOST = 4
const NEXT = 6

/** A store that cannot read the records `[LOST, NEXT)`, whatever page they are in. */
class DamagedStore extends MemoryStore {
  reads = 0

  override async read(name: string, request: ReadRequest): Promise<ReadPage> {
    this.reads += 1
    const from = Number(request.from)
    const isHit = from < NEXT && from + request.limit > LOST && request.verify !== 'none'
    if (isHit) throw corrupt(LOST, NEXT, 'it does not check')
    return super.read(name, request)
  }
}

async function follow(store: DamagedStore, from: number): Promise<FakeSink> {
  const hub = new Hub(store, () => 0, 10)
  const subscription = await Subscription.open(hub, store, 's', { from })
  const sink = new FakeSink()
  subscription.start(sink, 1_000_000)
  await until(() => sink.failure !== undefined || sink.said.includes('live'))
  subscription.stop()
  return sink
}

const damage = suite('main/tail/damage')

damage(
  'a subscriber gets what lies before damage, then the range, and goes on behind it',
  async () => {
    const store = new DamagedStore()
    await append(store, 's', ...numbered(COUNT))
    const before = await follow(store, 0)
    assert.equal(before.offsets, [0, 1, 2, 3])
    const { code, fields } = before.failure as StoreError
    assert.equal(
      [code, fields['firstCorruptOffset'], fields['nextReadableOffset']],
      ['corrupt_record', LOST, NEXT],
    )
    assert.ok(store.reads < 6, 'it does not try again and again')
    const behind = await follow(store, NEXT)
    assert.equal([behind.offsets, behind.failure], [[6, 7, 8, 9], undefined])
  },
)

damage('a subscriber that starts in damage is told at once', async () => {
  const store = new DamagedStore()
  await append(store, 's', ...numbered(COUNT))
  const sink = await follow(store, LOST)
  assert.equal([sink.offsets, (sink.failure as StoreError).code], [[], 'corrupt_record'])
})

damage.run()
