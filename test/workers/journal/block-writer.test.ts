import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { InvariantError } from '../../../src/shared/assert.ts'
import { BLOCK_HEADER_BYTES, BlockFlag } from '../../../src/shared/format/block.ts'
import { GENESIS_HASH } from '../../../src/shared/format/chain.ts'
import type { JournalHeader } from '../../../src/shared/format/journal-header.ts'
import { journalPath, shardPath } from '../../../src/shared/format/paths.ts'
import { PAGE_BYTES } from '../../../src/shared/limits.ts'
import {
  createJournalMemory,
  FailureCode,
  Word,
} from '../../../src/shared/memory/journal-memory.ts'
import { SlotState } from '../../../src/shared/memory/slot-state.ts'
import { CopyFaults } from '../../../src/workers/disk/copy-faults.ts'
import { makeDirectories } from '../../../src/workers/disk/files.ts'
import { BlockWriter } from '../../../src/workers/journal/block-writer.ts'
import { prepareJournalFile } from '../../../src/workers/journal/journal-files.ts'
import { LogBuffer } from '../../../src/workers/journal/log-buffer.ts'
import { Random } from '../../support/random.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'
import type { DiskFault } from '../../support/simulated-fault.ts'
import { Clock } from '../../support/simulated-shard.ts'

const FRAME_BYTES = 500
/** None is oversize. */
const NO_BLOCK = Buffer.alloc(0)
const FILE: JournalHeader = {
  shard: 0,
  epoch: 1,
  number: 0,
  firstLsn: 0,
  capacity: 16 * PAGE_BYTES,
  salt: 's'.repeat(16),
}

const writes = suite('workers/journal/block-writer')

writes('a sealed block is written, synced and counted as durable, and its slot is free', () => {
  const { writer, words, disk, seal } = open()
  seal()
  const { syncs } = disk
  assert.is(writer.step(), 'flushed')
  assert.equal([disk.syncs - syncs, Atomics.load(words, Word.durablePages)], [1, 1])
  assert.is(Atomics.load(words, Word.slots[0]), SlotState.Free)
})

writes('a block that changed after it was sealed is not written', () => {
  const { writer, slots, disk, seal } = open()
  seal()
  slots[0].writeUInt8(1, BLOCK_HEADER_BYTES + 20)
  assert.throws(
    () => writer.step(),
    (error: unknown) => error instanceof InvariantError,
  )
  const page = disk.content(journalPath(0, 0)).subarray(PAGE_BYTES, 2 * PAGE_BYTES)
  assert.ok(
    page.every(byte => byte === 0),
    'nothing was written',
  )
})

writes('every flush rings, so that nobody sleeps through it', () => {
  const { writer, words, seal } = open()
  seal()
  const seen = Atomics.load(words, Word.flushed)
  writer.step()
  assert.is.not(Atomics.load(words, Word.flushed), seen)
})

writes('every seal rings, so that the flusher does not sleep through it', () => {
  const { words, seal } = open()
  const seen = Atomics.load(words, Word.sealed)
  seal()
  assert.is.not(Atomics.load(words, Word.sealed), seen)
})

writes('a sync that fails is final, for want of room too, and rings', () => {
  for (const code of ['EIO', 'ENOSPC'] as const) {
    const { writer, words, seal } = open('sync', code)
    seal()
    const seen = Atomics.load(words, Word.flushed)
    assert.is(writer.step(), 'failed')
    assert.is(writer.step(), 'failed')
    assert.is(Atomics.load(words, Word.failure), FailureCode.Sync)
    assert.is(Atomics.load(words, Word.durablePages), 0)
    assert.is.not(Atomics.load(words, Word.flushed), seen)
  }
})

writes('a write that fails is final, but for want of room it is tried again', () => {
  const broken = open('write', 'EIO')
  broken.seal()
  assert.is(broken.writer.step(), 'failed')
  assert.is(Atomics.load(broken.words, Word.failure), FailureCode.Write)
  const full = open('write', 'ENOSPC')
  full.seal()
  assert.equal([full.writer.step(), full.writer.step()], ['blocked', 'flushed'])
})

writes('a journal file that cannot be opened for a while fails nothing', () => {
  const { writer, words, seal } = open('open', 'EIO')
  seal()
  assert.is(writer.step(), 'blocked')
  assert.equal([Atomics.load(words, Word.failure), Atomics.load(words, Word.blocked)], [0, 1])
  assert.is(writer.step(), 'flushed')
  assert.equal([Atomics.load(words, Word.durablePages), Atomics.load(words, Word.blocked)], [1, 0])
})

writes('a journal file that cannot be opened for long fails the shard', () => {
  const { disk, clock, writer, words, seal } = open('open', 'EIO')
  seal()
  assert.is(writer.step(), 'blocked')
  clock.pass(9_999)
  disk.failNext('open', 'EIO')
  assert.is(writer.step(), 'blocked')
  clock.pass(1)
  disk.failNext('open', 'EIO')
  assert.is(writer.step(), 'failed')
  assert.is(Atomics.load(words, Word.failure), FailureCode.Write)
})

/** A journal of one file; the first operation of a kind on it fails. */
function open(kind?: 'open' | 'write' | 'sync', code: DiskFault['code'] = 'EIO') {
  const random = new Random(1)
  const disk = new SimulatedDisk(random)
  const clock = new Clock()
  const environment = clock.environment(random)
  makeDirectories(disk, shardPath(0))
  prepareJournalFile(disk, FILE, new CopyFaults())
  const memory = createJournalMemory(2 * PAGE_BYTES)
  const end = { file: FILE, position: PAGE_BYTES, blockNumber: 0, blockHash: GENESIS_HASH }
  const buffer = new LogBuffer(
    memory,
    FILE.capacity,
    end,
    () => undefined,
    () => 0,
  )
  const writer = new BlockWriter(memory, disk, environment, 0, () => NO_BLOCK)
  if (kind !== undefined) disk.failNext(kind, code)
  const seal = () => {
    const room = buffer.reserve(FRAME_BYTES)
    assert.ok(room)
    buffer.commit(FRAME_BYTES)
    buffer.seal(BlockFlag.Data)
  }
  return { disk, clock, writer, words: memory.words, slots: memory.slots, seal }
}

writes.run()
