import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DamageList, damageOf } from '../../../src/main/shards/damage-list.ts'
import { StoreError } from '../../../src/shared/errors.ts'
import type { StreamDamage } from '../../../src/shared/protocol/streams.ts'

const list = suite('main/shards/damage-list')

list('the same damage is news once', () => {
  const damage = new DamageList()
  assert.equal([note(damage, 3, 5), note(damage, 3, 5), note(damage, 4, 5)], [true, false, false])
  assert.equal(ranges(damage), [[3, 5]])
})

list('overlapping ranges become one, others stay apart in order', () => {
  const damage = new DamageList()
  for (const [from, to] of [
    [8, 9],
    [3, 5],
    [4, 7],
    [20, 30],
  ] as const)
    note(damage, from, to)
  assert.equal(ranges(damage), [
    [3, 7],
    [8, 9],
    [20, 30],
  ])
})

list('a trim forgets the ranges below it, a delete all of them', () => {
  const damage = new DamageList()
  note(damage, 3, 5)
  note(damage, 8, 9)
  damage.forgetBelow(ID, 5)
  assert.equal(ranges(damage), [[8, 9]])
  damage.forget('a')
  assert.equal(damage.all(), [])
})

list('a trim inside a range leaves it named', () => {
  const damage = new DamageList()
  note(damage, 3, 8)
  damage.forgetBelow(ID, 5)
  assert.equal(ranges(damage), [[3, 8]])
})

list('a stream with more ranges than are kept is damaged from the first to the last', () => {
  const damage = new DamageList()
  for (let at = 0; at < 101; at += 1) note(damage, 2 * at, 2 * at + 1)
  assert.equal(ranges(damage), [[0, 201]])
})

list('streams past the most that are listed are not kept', () => {
  const damage = new DamageList()
  for (let at = 0; at < 1001; at += 1) damage.note({ ...range(0, 1), streamId: String(at) })
  assert.is(damage.all().length, 1000)
})

list('an answer that names damage says which offsets', () => {
  const fields = { firstCorruptOffset: 7, nextReadableOffset: 9 }
  const error = new StoreError('corrupt_record', 'zeros', fields)
  assert.equal(damageOf({ stream: 'a', streamId: ID }, error), { ...range(7, 9), reason: 'zeros' })
})

const ID = 'ab'.repeat(16)

function range(firstOffset: number, nextOffset: number): StreamDamage {
  return { stream: 'a', streamId: ID, firstOffset, nextOffset, reason: 'why' }
}

function note(list: DamageList, from: number, to: number): boolean {
  return list.note(range(from, to))
}

function ranges(list: DamageList): (readonly [number, number])[] {
  return list.all().map(({ firstOffset, nextOffset }) => [firstOffset, nextOffset])
}

list.run()
