import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { growthOf } from './growth.ts'

const growth = suite('torture/growth')

/** One sample a minute for two hours. */
function samples(residentAt: (minute: number) => number) {
  return Array.from({ length: 120 }, (_, minute) => {
    return { atMs: minute * 60_000, resident: residentAt(minute), files: 20 + minute / 60 }
  })
}

growth('a leak shows as its MiB an hour', () => {
  const { perHour, added, filesAdded } = growthOf(samples(minute => 200 + minute / 2))

  assert.is(Math.round(perHour), 30)
  assert.is(Math.round(added), 45)
  assert.is(filesAdded, 1.5)
})

growth('memory that swings around one level does not grow', () => {
  const { perHour, added, resident } = growthOf(samples(minute => 300 + (minute % 2) * 80))

  assert.ok(Math.abs(perHour) < 2, `${perHour}`)
  assert.is(added, 0)
  assert.is(resident, 380)
})

growth('too few samples are no statement', () => {
  assert.throws(() => growthOf([{ atMs: 0, resident: 1, files: 1 }]), /too few/)
})

growth.run()
