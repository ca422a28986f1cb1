import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { InvariantError } from '../../../src/shared/assert.ts'
import {
  BLOCK_HEADER_BYTES,
  BlockFlag,
  decodeBlockHeader,
} from '../../../src/shared/format/block.ts'
import type { JournalHeader } from '../../../src/shared/format/journal-header.ts'
import { PAGE_BYTES } from '../../../src/shared/limits.ts'
import {
  createJournalMemory,
  type JournalMemory,
  Word,
} from '../../../src/shared/memory/journal-memory.ts'
import { SlotState } from '../../../src/shared/memory/slot-state.ts'
import { GENESIS_HASH } from '../../../src/shared/format/chain.ts'
import { LogBuffer } from '../../../src/workers/journal/log-buffer.ts'

const SLOT_BYTES = 2 * PAGE_BYTES
const CAPACITY = 8 * PAGE_BYTES
const FILE: JournalHeader = {
  shard: 0,
  epoch: 3,
  number: 7,
  firstLsn: 100 * PAGE_BYTES,
  capacity: CAPACITY,
  salt: 's'.repeat(16),
}

const log = suite('workers/journal/log-buffer')

log('a frame gets the LSN of its end in the journal', () => {
  const { buffer } = open()
  assert.is(buffer.reserve(500)?.at, 128)
  assert.is(buffer.commit(500), FILE.firstLsn + 128 + 500)
})

log('blocks are numbered and chained, and name what is durable', () => {
  const { buffer, memory } = open()
  const first = fill(buffer)
  const second = fill(buffer)
  const [one, two] = [first, second].map(block => decodeBlockHeader(block, 0))
  assert.equal([one?.number, two?.number], [1, 2])
  assert.is(one?.previousHash, GENESIS_HASH)
  assert.is.not(two?.previousHash, GENESIS_HASH)
  assert.equal([two?.durableThrough, two?.lsn], [0, FILE.firstLsn + PAGE_BYTES])
  assert.is(Atomics.load(memory.words, Word.slots[0]), SlotState.Sealed)
})

log('there is no room while both slots are busy, and again when one is free', () => {
  const { buffer, memory } = open()
  fill(buffer)
  fill(buffer)
  assert.is(buffer.reserve(10), undefined)
  Atomics.store(memory.words, Word.slots[0], SlotState.Free)
  assert.ok(buffer.reserve(10))
})

log('a block that finds no room in a file less than half full has the next one prepared', () => {
  const { buffer } = open()
  fill(buffer)
  assert.is(buffer.fileWanted, undefined)
  assert.is(buffer.reserve(CAPACITY - 2 * BLOCK_HEADER_BYTES), undefined)
  assert.is(buffer.fileWanted?.capacity, CAPACITY)
})

log('a frame that does not fit seals the slot and goes to the other', () => {
  const { buffer, memory } = open()
  buffer.reserve(7000)
  buffer.commit(7000)
  assert.is(buffer.reserve(7000)?.block.byteOffset, memory.slots[1].byteOffset)
  assert.is(buffer.sealedNumber, 1)
})

log('a frame larger than a slot gets a buffer of its own', () => {
  const sent: SharedArrayBuffer[] = []
  const { buffer } = open(block => sent.push(block))
  const room = buffer.reserve(3 * SLOT_BYTES)
  assert.ok((room?.block.length ?? 0) >= 3 * SLOT_BYTES)
  buffer.commit(3 * SLOT_BYTES)
  buffer.seal(BlockFlag.Data)
  assert.is(sent.length, 1)
})

log('a frame that fills a slot to its last byte is in it, one byte more is not', () => {
  const { buffer, memory } = open()
  const full = buffer.reserve(SLOT_BYTES - BLOCK_HEADER_BYTES)
  assert.is(full?.block.buffer, memory.memory.buffer)
  buffer.commit(SLOT_BYTES - BLOCK_HEADER_BYTES)
  const over = buffer.reserve(SLOT_BYTES - BLOCK_HEADER_BYTES + 1)
  assert.is.not(over?.block.buffer, memory.memory.buffer)
  assert.equal([over?.block.length, over?.block.byteOffset], [SLOT_BYTES + PAGE_BYTES, 0])
})

log('at most two oversize blocks are in memory, and it is used again for the next ones', () => {
  const sent = new Set<SharedArrayBuffer>()
  const { buffer, memory } = open(block => sent.add(block))
  const bytes = 3 * SLOT_BYTES - BLOCK_HEADER_BYTES
  for (let round = 0; round < 4; round += 1) {
    for (let slot = 0; slot < 2; slot += 1) {
      if (buffer.reserve(bytes) === undefined) offerNext(buffer)
      assert.ok(buffer.reserve(bytes))
      buffer.commit(bytes)
      buffer.seal(BlockFlag.Data)
    }
    assert.is(buffer.reserve(bytes), undefined)
    for (const word of Word.slots) Atomics.store(memory.words, word, SlotState.Free)
  }
  assert.is(sent.size, 2)
})

log('an oversize block is sent before its slot is sealed', () => {
  const states: number[] = []
  const opened = open(() => states.push(Atomics.load(opened.memory.words, Word.slots[0])))
  opened.buffer.reserve(SLOT_BYTES)
  opened.buffer.commit(SLOT_BYTES)
  opened.buffer.seal(BlockFlag.Data)
  assert.equal(states, [SlotState.Filling])
  assert.is(Atomics.load(opened.memory.words, Word.slots[0]), SlotState.Sealed)
})

log('a block larger than a file asks for a larger file, and then for ordinary ones', () => {
  const { buffer } = open()
  assert.is(buffer.reserve(CAPACITY), undefined)
  assert.is(buffer.fileWanted?.capacity, CAPACITY + PAGE_BYTES)
  offerNext(buffer)
  assert.ok(buffer.reserve(CAPACITY))
  buffer.commit(CAPACITY)
  buffer.seal(BlockFlag.Data)
  assert.is(buffer.fileWanted?.capacity, CAPACITY)
})

log('the next file is asked for when half of this one is used, and taken when it is full', () => {
  const { buffer, memory } = open()
  assert.is(buffer.fileWanted, undefined)
  fillFile(buffer, memory)
  const wanted = buffer.fileWanted
  assert.equal(wanted, { number: 8, firstLsn: FILE.firstLsn + CAPACITY, capacity: CAPACITY })
  assert.is(buffer.reserve(10), undefined)
  buffer.offerFile({ ...FILE, number: 8, firstLsn: FILE.firstLsn + CAPACITY }, false)
  buffer.reserve(10)
  assert.is(buffer.commit(10), FILE.firstLsn + CAPACITY + 138)
})

log('a next file that is to give way to a larger one takes no block any more', () => {
  const { buffer, memory } = open()
  const next = { ...FILE, number: 8, firstLsn: FILE.firstLsn + CAPACITY }
  fillFile(buffer, memory)
  buffer.offerFile(next, false)
  assert.is(buffer.reserve(CAPACITY), undefined)
  assert.ok((buffer.fileWanted?.capacity ?? 0) > CAPACITY)
  assert.not.ok(buffer.seal(BlockFlag.IdleSeal))
  buffer.offerFile({ ...next, capacity: 2 * CAPACITY }, false)
  assert.ok(buffer.seal(BlockFlag.IdleSeal))
})

log('the durable LSN follows what the flusher published', () => {
  const { buffer, memory } = open()
  fill(buffer)
  assert.is(buffer.observe(), FILE.firstLsn)
  Atomics.store(memory.words, Word.durablePages, 101)
  assert.is(buffer.observe(), FILE.firstLsn + PAGE_BYTES)
  assert.is(buffer.durable.number, 1)
})

log('a frozen buffer takes what is not synced from the flusher, and publishes what is', () => {
  for (const [found, left, durable] of [
    [SlotState.Sealed, SlotState.Failed, 0],
    [SlotState.Flushing, SlotState.Failed, 0],
    [SlotState.Synced, SlotState.Synced, 1],
    [SlotState.Free, SlotState.Free, 0],
  ] as const) {
    const { buffer, memory } = open()
    fill(buffer)
    Atomics.store(memory.words, Word.slots[0], found)
    buffer.freeze()
    assert.is(Atomics.load(memory.words, Word.slots[0]), left)
    assert.is(buffer.observe(), FILE.firstLsn + durable * PAGE_BYTES)
  }
})

log('a frozen buffer never moves the durable LSN back', () => {
  const { buffer, memory } = open()
  fill(buffer)
  Atomics.store(memory.words, Word.slots[0], SlotState.Synced)
  Atomics.store(memory.words, Word.durablePages, 102)
  buffer.freeze()
  assert.is(Atomics.load(memory.words, Word.durablePages), 102)
})

log('more than was reserved is a defect', () => {
  const { buffer } = open()
  buffer.reserve(10)
  assert.throws(
    () => buffer.commit(SLOT_BYTES),
    (error: unknown) => error instanceof InvariantError,
  )
})

function open(send: (block: SharedArrayBuffer) => void = () => undefined) {
  const memory = createJournalMemory(SLOT_BYTES)
  const end = { file: FILE, position: PAGE_BYTES, blockNumber: 0, blockHash: GENESIS_HASH }
  return { memory, buffer: new LogBuffer(memory, CAPACITY, end, send, () => 0) }
}

/** Makes the file that is wanted. */
function offerNext(buffer: LogBuffer): void {
  const wanted = buffer.fileWanted
  buffer.offerFile({ ...FILE, ...wanted }, false)
}

/** Leaves no room for a whole slot in the first file. */
function fillFile(buffer: LogBuffer, memory: JournalMemory): void {
  for (let blocks = 0; blocks < 7; blocks += 1) {
    fill(buffer)
    Atomics.store(memory.words, Word.slots[blocks % 2] as number, SlotState.Free)
  }
}

/** Puts one frame into a block and seals it; returns the block. */
function fill(buffer: LogBuffer): Buffer {
  const room = buffer.reserve(100)
  buffer.commit(100)
  buffer.seal(BlockFlag.Data)
  return room?.block ?? Buffer.alloc(0)
}

log.run()
