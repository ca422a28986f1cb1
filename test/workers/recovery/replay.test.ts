import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { GENESIS_HASH } from '../../../src/shared/format/chain.ts'
import { JournalCheckpoint } from '../../../src/workers/engine/journal-checkpoint.ts'
import { TransactionLedger } from '../../../src/workers/engine/transaction-ledger.ts'
import {
  type Block,
  JournalDamage,
  JournalWalk,
} from '../../../src/workers/recovery/journal-walk.ts'
import { Replay } from '../../../src/workers/recovery/replay.ts'
import { StreamTable } from '../../../src/workers/streams/stream-table.ts'
import { TailArena } from '../../../src/workers/streams/tail-arena.ts'
import { Random } from '../../support/random.ts'
import { Clock } from '../../support/simulated-clock.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'
import { SIMULATED_OPTIONS, SimulatedShard } from '../../support/simulated-shard.ts'

const START = { lsn: 0, journalFile: 0, blockNumber: 0, blockHash: GENESIS_HASH }

const MARK = { lsn: 0, catalogueBytes: 0, catalogueSalt: '', clockMicros: 0 }

const replays = suite('workers/recovery/replay')

replays('the frames of all blocks bring a stream to its end', () => {
  const { replay, table } = fresh()
  for (const block of journaled()) replay.apply(block)
  assert.is(table.durable('orders')?.nextOffset, 3)
})

replays('an append that does not follow the one before is damage, never passed over', () => {
  const { replay } = fresh()
  const blocks = journaled().filter(({ body }) => body.length > 0)
  const isDamage = (error: unknown) =>
    error instanceof JournalDamage && /offset 2, expected 1/.test(error.message)
  const [first, , third] = blocks as [Block, Block, Block]
  replay.apply(first)
  assert.throws(() => replay.apply(third), isDamage)
})

/** The blocks of a journal with three appends to one stream, each in a block of its own. */
function journaled(): Block[] {
  const random = new Random(1)
  const disk = new SimulatedDisk(random)
  const options = { ...SIMULATED_OPTIONS, checkpointIntervalMs: 1e9 }
  const shard = new SimulatedShard(disk, random, new Clock(), options)
  for (const body of ['one', 'two', 'three']) {
    shard.append('orders', [body], () => undefined)
    shard.advance()
    while (shard.flush() === 'flushed') shard.advance()
  }
  return [...new JournalWalk(disk, 0, START, options.slotBytes).blocks()]
}

function fresh() {
  const table = new StreamTable()
  const checkpoint = new JournalCheckpoint(MARK)
  const ledger = new TransactionLedger()
  return { table, replay: new Replay(0, { table, arena: new TailArena(), checkpoint, ledger }) }
}

replays.run()
