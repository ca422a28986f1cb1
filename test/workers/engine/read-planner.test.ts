import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RecordKind } from '../../../src/shared/format/record.ts'
import { tailRecords } from '../../../src/shared/format/read-page.ts'
import { KIB, STREAM_CONFIG_DEFAULT } from '../../../src/shared/limits.ts'
import type { ReadPlan, ReadRange } from '../../../src/shared/protocol/shard.ts'
import { planRead } from '../../../src/workers/engine/read-planner.ts'
import { Random } from '../../support/random.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock, SIMULATED_OPTIONS, SimulatedShard } from '../../support/simulated-shard.ts'

// Of what is in memory a plan takes what its read needs, and no more: the shard thread copies it.

const COUNT = 40
const EVERY = 10
const RANGE: ReadRange = {
  from: 'start',
  direction: 'forward',
  limit: 1000,
  maxBytes: 1e9,
  since: undefined,
  wholeTail: false,
  fromCheckpoint: false,
}

/** A stream in memory alone, a checkpoint behind every tenth record. */
function makeStream() {
  const random = new Random(1)
  const options = {
    ...SIMULATED_OPTIONS,
    journalFileBytes: 256 * KIB,
    journalBytesMax: 1024 * KIB,
    defaultConfig: { ...STREAM_CONFIG_DEFAULT, checkpointEvery: EVERY },
  }
  const shard = new SimulatedShard(new SimulatedDisk(random), random, new Clock(), options)
  for (let at = 0; at < COUNT; at += 1) {
    shard.append('s', [`record ${at}`], () => undefined)
    shard.advance()
    while (shard.flush() === 'flushed') shard.advance()
  }
  return shard.recovered.table.durable('s')
}

const STREAM = makeStream()

function plan(part: Partial<ReadRange>): ReadPlan {
  return planRead(STREAM, { ...RANGE, ...part })
}

/** Offsets of the data records that a plan carries. */
function carried(found: ReadPlan): number[] {
  const offsets = [...tailRecords(found)].flatMap(({ record }) =>
    record.kind === RecordKind.Data ? [record.offset] : [],
  )
  return [offsets[0] ?? -1, offsets.at(-1) ?? -1]
}

const planner = suite('workers/engine/read-planner')

planner('a listing of checkpoints carries checkpoints alone, and no more than it asks for', () => {
  const some = plan({ wholeTail: true, checkpoints: { from: 0, limit: 2 } })
  const kinds = [...tailRecords(some)].map(({ record }) => [record.kind, record.offset])
  assert.equal(kinds, [
    [RecordKind.Checkpoint, 10],
    [RecordKind.Checkpoint, 20],
    [RecordKind.Checkpoint, 30],
  ])
  const late = plan({ wholeTail: true, checkpoints: { from: 40, limit: 100 } })
  assert.is([...tailRecords(late)].length, 1)
})

planner('a page under a signature carries its records up to the signature above', () => {
  assert.equal(carried(plan({ from: 12, limit: 3, fromCheckpoint: true })), [12, 19])
  assert.equal(carried(plan({ from: 19, limit: 1, fromCheckpoint: true })), [19, 19])
  assert.equal(carried(plan({ from: 19, limit: 2, fromCheckpoint: true })), [19, 29])
})

planner('a verification carries what lies between the signatures around its range', () => {
  const range = { wholeTail: true, fromCheckpoint: true } as const
  assert.equal(carried(plan({ ...range, verified: { from: 25, to: 27 } })), [19, 29])
  assert.equal(carried(plan({ ...range, verified: { from: undefined, to: 5 } })), [0, 9])
  assert.equal(carried(plan({ ...range, verified: { from: 0, to: undefined } })), [0, 39])
})

planner('a chain from the first record ends with the signature above the page', () => {
  assert.equal(carried(plan({ from: 12, limit: 3, wholeTail: true })), [0, 19])
})

planner.run()
