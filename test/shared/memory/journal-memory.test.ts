import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { PAGE_BYTES } from '../../../src/shared/limits.ts'
import {
  Counter,
  createJournalMemory,
  hasReached,
  SlotField,
  slotFields,
  viewJournalMemory,
  Word,
} from '../../../src/shared/memory/journal-memory.ts'

const SLOT_BYTES = 16 * PAGE_BYTES
const LINE_BYTES = 64

/** First and last byte of everything that has a place of its own in the control page. */
function places(): [from: number, to: number][] {
  const words = Object.values(Word)
    .flat()
    .map(word => [4 * word, 4 * word + 3] as const)
  const fields = [0, 1].map(slot => {
    const first = 4 * slotFields(slot)
    return [first, first + 4 * Math.max(...Object.values(SlotField)) + 3] as const
  })
  const { counters } = createJournalMemory(PAGE_BYTES)
  return [
    ...words,
    ...fields,
    [counters.byteOffset, counters.byteOffset + counters.byteLength - 1],
  ].map(([from = 0, to = 0]) => [from, to])
}

const journalMemory = suite('shared/memory/journal-memory')

journalMemory('words of different writers are on different lines', () => {
  const lines = places().map(([from, to]) => [
    Math.floor(from / LINE_BYTES),
    Math.floor(to / LINE_BYTES),
  ])
  for (const [first, last] of lines) assert.is(first, last)
  assert.is(new Set(lines.map(([line]) => line)).size, lines.length)
})

journalMemory('everything lies in the control page, and the slots behind it', () => {
  for (const [, to] of places()) assert.ok(to < PAGE_BYTES)
  const { slots } = createJournalMemory(SLOT_BYTES)
  assert.equal(
    slots.map(slot => [slot.byteOffset, slot.length]),
    [
      [PAGE_BYTES, SLOT_BYTES],
      [PAGE_BYTES + SLOT_BYTES, SLOT_BYTES],
    ],
  )
})

journalMemory('new memory is zero: slots are free, nothing failed', () => {
  const { words, counters, slots } = createJournalMemory(PAGE_BYTES)
  assert.ok(words.every(word => word === 0))
  assert.ok(counters.every(counter => counter === 0n))
  assert.ok(slots.every(slot => slot.every(byte => byte === 0)))
})

journalMemory('another view sees the same memory', () => {
  const mine = createJournalMemory(SLOT_BYTES)
  const theirs = viewJournalMemory(mine.memory, SLOT_BYTES)
  mine.words[Word.durablePages] = 7
  mine.counters[Counter.syncMicros] = 8n
  mine.slots[1][SLOT_BYTES - 1] = 9
  assert.is(theirs.words[Word.durablePages], 7)
  assert.is(theirs.counters[Counter.syncMicros], 8n)
  assert.is(theirs.slots[1][SLOT_BYTES - 1], 9)
})

journalMemory('a slot is a whole number of pages', () => {
  assert.throws(() => createJournalMemory(PAGE_BYTES + 1), 'a slot is a whole number of pages')
})

journalMemory('the durable LSN is compared across the wrap at 2^32 pages', () => {
  for (const [durable, pages, reached] of [
    [0, 0, true],
    [4, 5, false],
    [5, 4, true],
    [(2 ** 32) | 0, (2 ** 32 - 1) | 0, true],
    [(2 ** 32 - 1) | 0, (2 ** 32) | 0, false],
    [(2 ** 31) | 0, (2 ** 31 - 1) | 0, true],
    [(2 ** 31 - 1) | 0, (2 ** 31) | 0, false],
  ] as const) {
    assert.is(hasReached(durable, pages), reached, `${durable} and ${pages}`)
  }
})

journalMemory.run()
