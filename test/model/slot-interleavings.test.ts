import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BlockFlag, decodeBlockHeader } from '../../src/shared/format/block.ts'
import { GENESIS_HASH } from '../../src/shared/format/chain.ts'
import type { JournalHeader } from '../../src/shared/format/journal-header.ts'
import { PAGE_BYTES } from '../../src/shared/limits.ts'
import { ring, waitForChange } from '../../src/shared/memory/doorbell.ts'
import { createJournalMemory, FailureCode, Word } from '../../src/shared/memory/journal-memory.ts'
import { type Disk, DiskError } from '../../src/workers/disk/disk.ts'
import { BlockWriter } from '../../src/workers/journal/block-writer.ts'
import { LogBuffer } from '../../src/workers/journal/log-buffer.ts'
import { type Scheduler, searchAll } from '../support/interleavings.ts'
import { Random } from '../support/random.ts'
import { Clock } from '../support/simulated-clock.ts'

// The properties of slot-handover.pml, of the code that runs: LogBuffer and BlockWriter over one
// shared memory, in every interleaving of their Atomics calls, with writes and syncs that fail and
// an engine that gives up at any turn.

const FRAME_BYTES = 100
/** Two take about 20 s of one core; three are for a machine with time. */
const BLOCKS = Number(process.env['VARVE_BLOCKS'] ?? 2)
const FULL_MAX = 1
const STATES_MAX = 2_000_000
/** LSNs are shared as pages in signed words: the end of the first block has another sign. */
const FIRST_PAGES = 2 ** 31 - 1
const FILE: JournalHeader = {
  shard: 0,
  epoch: 1,
  number: 0,
  firstLsn: FIRST_PAGES * PAGE_BYTES,
  capacity: 16 * PAGE_BYTES,
  salt: 's'.repeat(16),
}
const END = { file: FILE, position: PAGE_BYTES, blockNumber: 0, blockHash: GENESIS_HASH }

/** What no thread knows. A block is one page, so its number is its end in pages of the file. */
type Observed = {
  readonly written: number
  readonly synced: number
  /** Writes that found no room: each rings, so without an end there would be no end of states. */
  readonly full: number
  /** The durable LSN when the engine had given up. */
  readonly frozenAt: number | null
}

type Options = {
  readonly blocks: number
  readonly twin?: undefined | 'looks first' | 'no sync' | 'seal wakes nobody' | 'flush wakes nobody'
}

const handover = suite('model/slot-interleavings')

handover('no interleaving of the code that runs breaks the handover', () => {
  const states = explore({ blocks: BLOCKS })
  assert.ok(states > 100_000, `${states} states`)
})

for (const [twin, what, found] of [
  ['looks first', 'the flusher reads its bell after the slots', /nobody can go on/],
  ['seal wakes nobody', 'sealing wakes nobody', /nobody can go on/],
  ['flush wakes nobody', 'a flush wakes nobody', /nobody can go on/],
  ['no sync', 'a block counts as durable before it is synced', /durable and not synced/],
] as const) {
  handover(`it would be noticed: ${what}`, () => {
    assert.match(brokenBy(twin), found)
  })
}

/** Says which property a broken twin does not keep. */
function brokenBy(twin: Options['twin']): string {
  try {
    explore({ blocks: 2, twin })
  } catch (error) {
    if (error instanceof Error) return error.message
    throw error
  }
  return 'nothing'
}

/** Returns the number of states. */
function explore(options: Options): number {
  const memory = createJournalMemory(PAGE_BYTES)
  const { words } = memory
  return searchAll<Observed>({
    memory,
    bells: [Word.sealed, Word.flushed],
    observed: { written: 0, synced: 0, full: 0, frozenAt: null },
    statesMax: STATES_MAX,
    actors: scheduler => [
      { name: 'appender', run: () => append(memory, scheduler, options) },
      { name: 'flusher', run: () => flush(memory, scheduler, options) },
    ],
    check: (_, { synced, frozenAt }) => {
      const durable = durableBlocks(words)
      assert.ok(durable <= synced, `${durable} is durable and not synced: ${synced}`)
      assert.ok(frozenAt === null || durable === frozenAt, 'what was frozen moved')
    },
    checkEnd: ([isAppenderDone, isFlusherDone]) => {
      const hasFailed = words[Word.failure] !== FailureCode.None
      // The flusher of a failed shard is ended by whoever ends the shard.
      assert.ok(isAppenderDone && (isFlusherDone || hasFailed), 'nobody can go on')
    },
  })
}

/** The part of the engine that fills, seals, observes and gives up. */
function append(
  memory: ReturnType<typeof createJournalMemory>,
  { mark, operation, observe }: Scheduler<Observed>,
  { blocks, twin }: Options,
): void {
  const { words } = memory
  const quiet = () => undefined
  const buffer = new LogBuffer(memory, FILE.capacity, END, quiet, () => 0)
  /** How far the journal was seen to be durable at each seal: it is in the block. */
  const seals: number[] = []
  for (;;) {
    mark(`${seals.join()} ${buffer.durable.number}`)
    const seen = Atomics.load(words, Word.flushed)
    buffer.observe()
    const mayGiveUp = operation(2, choice => choice) === 1
    if (mayGiveUp || Atomics.load(words, Word.failure) !== FailureCode.None) break
    if (buffer.durable.number === blocks) {
      Atomics.store(words, Word.stop, 1)
      return ring(words, Word.sealed)
    }
    const room = seals.length < blocks ? buffer.reserve(FRAME_BYTES) : undefined
    if (room === undefined) {
      waitForChange(words, Word.flushed, seen)
      continue
    }
    room.block.fill(1 + seals.length, room.at, room.at + FRAME_BYTES)
    buffer.commit(FRAME_BYTES)
    seals.push(buffer.durable.number)
    if (twin === 'seal wakes nobody') silently(Word.sealed, () => buffer.seal(BlockFlag.Data))
    else buffer.seal(BlockFlag.Data)
  }
  // As ShardEngine.fail has it.
  buffer.freeze()
  observe(known => ({ ...known, frozenAt: durableBlocks(words) }))
  buffer.observe()
  Atomics.compareExchange(words, Word.failure, FailureCode.None, FailureCode.Stall)
  ring(words, Word.flushed)
}

function durableBlocks(words: Int32Array): number {
  return ((words[Word.durablePages] as number) - FIRST_PAGES) | 0
}

/** The loop of flusher.ts. */
function flush(
  memory: ReturnType<typeof createJournalMemory>,
  scheduler: Scheduler<Observed>,
  { twin }: Options,
): void {
  const { words } = memory
  const environment = new Clock().environment(new Random(1))
  const disk = journalDisk(words, scheduler, twin === 'no sync')
  const writer = new BlockWriter(memory, disk, environment, 0, () => Buffer.alloc(0))
  for (let flushed = 0; ; ) {
    scheduler.mark(`${flushed} ${writer.isBusy}`)
    const seenFirst = Atomics.load(words, Word.sealed)
    const step =
      twin === 'flush wakes nobody' ? silently(Word.flushed, () => writer.step()) : writer.step()
    if (step === 'failed') return
    if (step === 'flushed') {
      flushed += 1
      continue
    }
    if (Atomics.load(words, Word.stop) === 1) return
    const seen = twin === 'looks first' ? Atomics.load(words, Word.sealed) : seenFirst
    waitForChange(words, Word.sealed, seen, step === 'blocked' ? 100 : undefined)
  }
}

/** Where each write and each sync may succeed or fail, and a write may find no room. */
function journalDisk(
  words: Int32Array,
  { operation, observe }: Scheduler<Observed>,
  isUnsynced: boolean,
): Disk {
  const disk: Pick<Disk, 'open' | 'close' | 'write' | 'sync'> = {
    open: () => 3,
    close: () => undefined,
    write: (_, source, position) => {
      const outcome = operation(3, (choice, { full }) =>
        choice === 1 && full === FULL_MAX ? 0 : choice,
      )
      if (outcome === 2) throw new DiskError('EIO', 'write', 'journal')
      if (outcome === 1) {
        observe(known => ({ ...known, full: known.full + 1 }))
        throw new DiskError('ENOSPC', 'write', 'journal')
      }
      const number = position / PAGE_BYTES
      assert.is(decodeBlockHeader(source, 0)?.number, number, 'a block goes to its place')
      observe(known => {
        assert.is(number, known.synced + 1, 'a block is written once, after the one before')
        return { ...known, written: number }
      })
      return source.length
    },
    sync: () => {
      const isSound = operation(2, choice => choice) === 0
      if (!isSound) throw new DiskError('EIO', 'sync', 'journal')
      if (!isUnsynced) observe(known => ({ ...known, synced: known.written }))
    },
  }
  return disk as Disk
}

/** Rings of a word are lost on the way. */
function silently<Result>(word: number, act: () => Result): Result {
  const { add, notify } = Atomics
  Object.assign(Atomics, {
    add: (words: Int32Array, at: number, value: number) =>
      at === word ? 0 : add(words, at, value),
    notify: (words: Int32Array, at: number) => (at === word ? 0 : notify(words, at)),
  })
  try {
    return act()
  } finally {
    Object.assign(Atomics, { add, notify })
  }
}

handover.run()
