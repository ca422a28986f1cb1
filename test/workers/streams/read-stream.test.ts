import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ReadRequest } from '../../../src/shared/protocol/streams.ts'
import { planRead } from '../../../src/workers/engine/read-planner.ts'
import { readStream } from '../../../src/workers/streams/read-stream.ts'
import { MIB } from '../../../src/shared/limits.ts'
import { Random } from '../../support/random.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock, SIMULATED_OPTIONS, SimulatedShard } from '../../support/simulated-shard.ts'

const SEEDS = 60
const READS = 60
const BODY_BYTES_MAX = 120
/** One journal file holds it all, so that what is in memory stays there until it is stored. */
const OPTIONS = { ...SIMULATED_OPTIONS, journalFileBytes: MIB, journalBytesMax: 8 * MIB }

const reads = suite('workers/streams/read-stream')

for (const where of ['segments', 'memory', 'both'] as const) {
  reads(`any read of records in ${where} is what the bounds allow of what was appended`, () => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const random = new Random(seed)
      const store = fill(random, where)
      for (let count = 0; count < READS; count += 1) checkRead(store, random, seed)
    }
  })
}

type Store = { readonly shard: SimulatedShard; readonly bodies: readonly string[] }

/** A stream of batches of several sizes, some of it stored, some of it in memory alone. */
function fill(random: Random, where: 'segments' | 'memory' | 'both'): Store {
  const disk = new SimulatedDisk(random)
  const shard = new SimulatedShard(disk, random, new Clock(), OPTIONS)
  const bodies: string[] = []
  const append = () => {
    const batch = Array.from({ length: 1 + random.below(12) }, (_, at) =>
      `${bodies.length + at} `.padEnd(random.below(BODY_BYTES_MAX), 'x'),
    )
    bodies.push(...batch)
    shard.append('s', batch, () => undefined)
    shard.advance()
    shard.flush()
    shard.advance()
  }
  const [stored, kept] = { segments: [15, 0], memory: [0, 15], both: [15, 15] }[where]
  for (let count = 0; count < (stored ?? 0); count += 1) append()
  if (where !== 'memory') shard.settle()
  for (let count = 0; count < (kept ?? 0); count += 1) append()
  while (shard.flush() === 'flushed') shard.advance()
  return { shard, bodies }
}

function checkRead({ shard, bodies }: Store, random: Random, seed: number): void {
  const request: ReadRequest = {
    from: random.below(bodies.length + 1),
    direction: random.pick(['forward', 'backward']),
    limit: 1 + random.below(60),
    maxBytes: 1 + random.below(random.pick([100, 10_000])),
    verify: random.pick(['none', 'links', 'checkpoint', 'genesis']),
    encoding: 'json',
  }
  const log = shard.recovered.table.durable('s')
  const wholeTail = request.verify === 'genesis'
  const fromCheckpoint = request.verify === 'checkpoint'
  const plan = planRead(log, { ...request, since: undefined, wholeTail, fromCheckpoint })
  const { selection } = readStream(shard.disk, plan, request)
  const got = selection.records.map(({ bytes, record }) =>
    bytes.utf8Slice(record.bodyAt, record.bodyEnd),
  )
  const wanted = expected(bodies, request)
  const note = `seed ${seed} ${JSON.stringify(request)}`
  assert.equal(got, wanted.slice(0, got.length), note)
  // A page may end early where framing takes more room than was allowed for, but never be empty.
  assert.is(got.length === 0, wanted.length === 0, note)
  const step = request.direction === 'forward' ? 1 : -1
  assert.is(selection.nextOffset, Number(request.from) + step * got.length, note)
}

/** The bodies that a read may return at most, in its order. */
function expected(bodies: readonly string[], request: ReadRequest): string[] {
  const from = Number(request.from)
  const isForward = request.direction === 'forward'
  const all = isForward ? bodies.slice(from) : bodies.slice(0, from).toReversed()
  const wanted: string[] = []
  let bytes = 0
  for (const body of all.slice(0, request.limit)) {
    bytes += body.length
    if (wanted.length > 0 && bytes > request.maxBytes) break
    wanted.push(body)
  }
  return wanted
}

reads.run()
