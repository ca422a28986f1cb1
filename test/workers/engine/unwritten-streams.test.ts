import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { MutationResult } from '../../../src/shared/protocol/shard.ts'
import { runSteps } from '../../../src/workers/disk/sync-steps.ts'
import { openDataDirectory } from '../../../src/workers/recovery/data-directory.ts'
import { reshard } from '../../../src/workers/recovery/reshard.ts'
import { manifestPath } from '../../../src/shared/format/paths.ts'
import { shardOf } from '../../../src/shared/format/shard-of.ts'
import { readCatalogue } from '../../../src/workers/streams/catalogue-copies.ts'
import { DiskError } from '../../../src/workers/disk/disk.ts'
import { verifyStore } from '../../support/inspected-store.ts'
import { Random } from '../../support/random.ts'
import { RefusingDisk } from '../../support/refusing-disk.ts'
import { directoryOf } from '../../support/stream-directory.ts'
import { Crash, type SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock, SIMULATED_OPTIONS, SimulatedShard } from '../../support/simulated-shard.ts'

const BODY = 'x'.repeat(4000)
const OPTIONS = { ...SIMULATED_OPTIONS, journalBytesMax: 128 * 1024 }
const FAULTS = ['EIO', 'EACCES', 'EROFS', 'EDQUOT', 'ENOSPC'] as const

const unwritten = suite('workers/engine/unwritten-streams')

for (const code of FAULTS) {
  unwritten(`a stream whose files give ${code} for ever holds no other stream back`, () => {
    const { shard, disk, clock } = open()
    disk.refuse('bad', code)
    assert.equal(append(shard, 'bad', 'kept'), [])
    fillJournal(shard, clock)
    assert.ok(shard.stats().journalBytes < OPTIONS.journalBytesMax / 2)
    const [refused] = append(shard, 'bad', 'more')
    const expected = code.startsWith('E') && isForSpace(code) ? 'disk_full' : 'stream_unwritable'
    assert.ok(refused !== undefined && 'error' in refused)
    assert.equal([refused.error.code, refused.error.fields['outcome']], [expected, 'not_applied'])
    assert.match(refused.error.detail, /"bad".*streams\//)
    assert.equal(shard.read('bad'), ['kept'])
  })
}

unwritten('a stream that cannot be written is named with its range and the reason', () => {
  const { shard, disk, clock } = open()
  append(shard, 'bad', 'stored')
  shard.settle()
  disk.refuse('bad', 'EROFS')
  append(shard, 'bad', 'one')
  append(shard, 'bad', 'two')
  run(shard, clock)
  const [damage, ...others] = shard.unwritten
  assert.equal(others, [])
  assert.equal([damage?.stream, damage?.firstOffset, damage?.nextOffset], ['bad', 1, 3])
  assert.match(damage?.reason ?? '', /EROFS/)
  disk.refused.clear()
  clock.pass(5000)
  run(shard, clock)
  assert.equal(shard.unwritten, [])
})

unwritten('a stream takes appends again once its files can be written', () => {
  const { shard, disk, clock } = open()
  disk.refuse('bad', 'EACCES')
  append(shard, 'bad', 'one')
  run(shard, clock)
  assert.is(append(shard, 'bad', 'refused').length, 1)
  disk.refused.clear()
  clock.pass(5000)
  run(shard, clock)
  assert.equal(append(shard, 'bad', 'two'), [])
  shard.stop()
  assert.equal(shard.read('bad'), ['one', 'two'])
  assert.equal(entryOf(disk, 'bad')?.unwritten.length, 0)
})

unwritten('unwritten records and their refusal outlive restarts, and end by themselves', () => {
  const { shard, disk, clock } = open()
  disk.refuse('bad', 'EIO')
  append(shard, 'bad', 'one')
  append(shard, 'good', 'one')
  shard.stop()
  let next = shard
  for (let restart = 0; restart < 2; restart += 1) {
    disk.cutPower()
    next = new SimulatedShard(disk, new Random(restart), clock, OPTIONS)
    assert.is(append(next, 'bad', 'refused').length, 1)
    fillJournal(next, clock)
    assert.equal(next.read('bad'), ['one'])
    next.stop()
  }
  disk.refused.clear()
  next = new SimulatedShard(disk, new Random(9), clock, OPTIONS)
  next.settle()
  assert.equal(append(next, 'bad', 'two'), [])
  next.stop()
  assert.equal(next.read('bad'), ['one', 'two'])
})

unwritten(
  'verification takes unwritten records for what they are, and names them when changed',
  () => {
    const { shard, disk } = open()
    append(shard, 'bad', 'stored')
    shard.settle()
    disk.refuse('bad', 'EIO')
    append(shard, 'bad', 'unwritten')
    append(shard, 'good', 'one')
    shard.stop()
    disk.refused.clear()
    assert.equal(findings(disk), [])
    const entry = entryOf(disk, 'bad')
    assert.ok(entry !== undefined && entry.unwritten.length > 0)
    assert.equal([entry.nextOffset, shard.read('bad').length], [1, 2])
  },
)

unwritten(
  'a crash at any operation of leaving a stream and of taking it back loses nothing',
  () => {
    for (let steps = 1; ; steps += 1) {
      const { shard, disk, clock } = open()
      append(shard, 'bad', 'zero')
      shard.settle()
      disk.refuse('bad', 'EIO')
      append(shard, 'bad', 'one')
      append(shard, 'good', 'one')
      while (shard.flush() === 'flushed') shard.advance()
      disk.crashAt = disk.operations + steps
      const hasEnded = !crashes(() => {
        run(shard, clock)
        disk.refused.clear()
        clock.pass(5000)
        run(shard, clock)
        run(shard, clock)
      })
      disk.cutPower()
      disk.refused.clear()
      const next = new SimulatedShard(disk, new Random(steps), clock, OPTIONS)
      assert.equal(next.read('bad'), ['zero', 'one'], `step ${steps}`)
      next.settle()
      assert.equal(append(next, 'bad', 'two'), [], `step ${steps}`)
      next.stop()
      assert.equal([next.read('bad'), next.read('good')], [['zero', 'one', 'two'], ['one']])
      if (hasEnded) return assert.ok(steps > 20)
    }
  },
)

unwritten('a deleted stream whose files cannot be written leaves nothing in the catalogue', () => {
  const { shard, disk, clock } = open()
  disk.refuse('bad', 'EIO')
  append(shard, 'bad', 'one')
  run(shard, clock)
  shard.remove('bad', () => undefined)
  run(shard, clock)
  run(shard, clock)
  assert.equal([entryOf(disk, 'bad'), shard.unwritten], [undefined, []])
  disk.refused.clear()
  assert.equal(append(shard, 'bad', 'again'), [])
  shard.stop()
  assert.equal(shard.read('bad'), ['again'])
})

unwritten('a trim and a new configuration hold for a stream that cannot be written', () => {
  const { shard, disk, clock } = open()
  disk.refuse('bad', 'EIO')
  for (const body of ['one', 'two', 'three']) append(shard, 'bad', body)
  run(shard, clock)
  shard.mutate({ kind: 'trim', stream: 'bad', before: 2 }, NO_BYTES, () => undefined)
  run(shard, clock)
  shard.stop()
  assert.equal(findings(disk), [])
  const next = new SimulatedShard(disk, new Random(2), clock, OPTIONS)
  assert.equal(next.show('bad', 'none'), { firstOffset: 2, bodies: ['three'], isClosed: false })
  disk.refused.clear()
  next.settle()
  assert.equal(append(next, 'bad', 'four'), [])
  next.stop()
  assert.equal(next.show('bad', 'none').bodies, ['three', 'four'])
})

unwritten('records that no entry has room for hold the journal back, and are not lost', () => {
  const { shard, disk, clock } = open()
  disk.refuse('', 'EMFILE')
  append(shard, 'bad', 'one')
  run(shard, clock)
  assert.equal([shard.stats().checkpoints, shard.unwritten], [0, []])
  disk.refused.clear()
  clock.pass(1100)
  shard.settle()
  assert.equal([shard.stats().checkpoints > 0, shard.read('bad')], [true, ['one']])
})

unwritten('a change of the shard count takes unwritten records along', () => {
  const { shard, disk, clock } = open()
  disk.refuse('bad', 'EIO')
  append(shard, 'bad', 'one')
  append(shard, 'good', 'one')
  shard.stop()
  const random = new Random(3)
  const environment = clock.environment(random)
  const { header } = openDataDirectory(disk, environment, 1)
  runSteps(disk, reshard(disk, environment, header, 2, OPTIONS))
  const shards = [0, 1].map(
    number => new SimulatedShard(disk, random, clock, OPTIONS, 0, { shard: number, shards: 2 }),
  )
  const owner = shards[shardOf('bad', 2)] as SimulatedShard
  assert.equal([owner.read('bad'), append(owner, 'bad', 'refused').length], [['one'], 1])
  disk.refused.clear()
  owner.settle()
  assert.equal([append(owner, 'bad', 'two'), owner.read('bad')], [[], ['one', 'two']])
})

unwritten('retention does not have records that cannot be written put down again and again', () => {
  const { shard, disk, clock } = open()
  for (let sent = 0; sent < 6; sent += 1) append(shard, 'bad', BODY)
  shard.settle()
  for (let sent = 0; sent < 3; sent += 1) append(shard, 'bad', BODY)
  disk.refuse('bad', 'EIO')
  disk.content(manifestPath(directoryOf(disk, 'bad'))).fill(0x20, 3, 9)
  const change = { retention: { maxRecords: 1 } }
  shard.mutate({ kind: 'configure', stream: 'bad', change }, NO_BYTES, () => undefined)
  run(shard, clock)
  const { bytes } = sound(disk)
  for (let pass = 0; pass < 4; pass += 1) run(shard, clock)
  assert.ok(shard.logged.some(({ message }) => message.includes('retention skips')))
  assert.ok(sound(disk).bytes - bytes < BODY.length, `${sound(disk).bytes - bytes} bytes more`)
})

const NO_BYTES = Buffer.alloc(0)

function open() {
  const random = new Random(1)
  const disk = new RefusingDisk(random)
  const clock = new Clock()
  return { disk, clock, shard: new SimulatedShard(disk, random, clock, OPTIONS) }
}

/** Appends more to another stream than the journal may hold, and expects each append to succeed. */
function fillJournal(shard: SimulatedShard, clock: Clock): void {
  const appends = Math.ceil((1.5 * OPTIONS.journalBytesMax) / BODY.length)
  for (let sent = 0; sent < appends; sent += 1) {
    assert.equal(append(shard, 'good', BODY), [])
    if (sent % 4 === 0) run(shard, clock)
  }
}

/** Lets everything happen that is due within a second or so. */
function run(shard: SimulatedShard, clock: Clock): void {
  for (let turn = 0; turn < 4; turn += 1) {
    clock.pass(300)
    shard.advance()
    while (shard.flush() === 'flushed') shard.advance()
    while (shard.runJob()) shard.advance()
  }
}

/** Refusals of an append; those that wait to be durable are not among them. */
function append(shard: SimulatedShard, stream: string, body: string): MutationResult[] {
  const results: MutationResult[] = []
  shard.append(stream, [body], result => results.push(result))
  while (shard.flush() === 'flushed') shard.advance()
  return results.filter(result => 'error' in result)
}

function isForSpace(code: string): boolean {
  return new DiskError(code, '', '').isForSpace
}

function sound(disk: SimulatedDisk) {
  const catalogue = readCatalogue(disk, 0)
  assert.ok('live' in catalogue)
  return catalogue
}

function entryOf(disk: SimulatedDisk, name: string) {
  return sound(disk).live.find(({ stream }) => stream.name === name)?.stream
}

function findings(disk: SimulatedDisk): unknown[] {
  return [...verifyStore(disk).damages]
}

function crashes(act: () => void): boolean {
  try {
    act()
    return false
  } catch (error) {
    if (!(error instanceof Crash)) throw error
    return true
  }
}

unwritten.run()
