import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Random } from '../support/random.ts'
import { Crash, SimulatedDisk } from '../support/simulated-disk.ts'
import { Clock, SIMULATED_OPTIONS, SimulatedShard } from '../support/simulated-shard.ts'

const { slotBytes, journalFileBytes } = SIMULATED_OPTIONS
/** Operations from an oversize append to its answer, a larger journal file included, at most. */
const OPERATIONS_MAX = 60

const oversize = suite('integrity/oversize')

for (const bytes of [2 * slotBytes, journalFileBytes, 3 * journalFileBytes]) {
  for (const directIo of [false, true]) {
    const way = directIo ? 'directly' : 'through the cache'
    oversize(`a crash at any step of ${bytes} bytes written ${way} keeps all or nothing`, () => {
      for (let step = 0; step < OPERATIONS_MAX; step += 1) {
        for (const failure of ['kill', 'cutPower'] as const) run(bytes, directIo, step, failure)
      }
    })
  }
}

oversize('every size about the end of a slot comes back as it was', () => {
  const disk = new SimulatedDisk(new Random(1))
  const shard = new SimulatedShard(disk, new Random(1), new Clock())
  const lengths = Array.from({ length: 400 }, (_, at) => slotBytes - 500 + at)
  let answered = 0
  for (const length of lengths) {
    shard.append('s', ['x'.repeat(length)], () => {
      answered += 1
    })
    shard.settle()
  }
  assert.is(answered, lengths.length)
  const texts = shard.read('s')
  assert.equal(
    texts.map(text => text.length),
    lengths,
  )
})

oversize('many in flight are written one after the other, in order', () => {
  const disk = new SimulatedDisk(new Random(1))
  const shard = new SimulatedShard(disk, new Random(1), new Clock())
  const answered: number[] = []
  for (let count = 0; count < 12; count += 1) {
    const bytes = (count % 3 === 0 ? 1 : count) * slotBytes
    shard.append('s', ['x'.repeat(bytes)], () => answered.push(count))
  }
  shard.settle()
  const order = Array.from({ length: 12 }, (_, count) => count)
  assert.equal(answered, order)
  assert.is(shard.read('s').length, 12)
})

/** A small append that is durable, a large one on its way, and the machine stops. */
function run(bytes: number, directIo: boolean, step: number, failure: 'kill' | 'cutPower'): void {
  const random = new Random(step)
  const disk = new SimulatedDisk(random)
  const clock = new Clock()
  const options = { ...SIMULATED_OPTIONS, directIo }
  const shard = new SimulatedShard(disk, random, clock, options)
  shard.append('s', ['small'], () => undefined)
  shard.settle()
  let isAnswered = false
  disk.crashAt = disk.operations + step
  try {
    shard.append('s', ['x'.repeat(bytes)], () => {
      isAnswered = true
    })
    shard.settle()
  } catch (error) {
    if (!(error instanceof Crash)) throw error
  }
  disk[failure]()
  const texts = new SimulatedShard(disk, random, clock, options).read('s')
  const lengths = texts.map(text => text.length)
  assert.equal(lengths, lengths.length === 1 ? [5] : [5, bytes], `seed ${step}`)
  if (isAnswered) assert.is(lengths.length, 2, `seed ${step}`)
}

oversize.run()
