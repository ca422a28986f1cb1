import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { MutationResult } from '../../../src/shared/protocol/shard.ts'
import { Random } from '../../support/random.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock, SIMULATED_OPTIONS, SimulatedShard } from '../../support/simulated-shard.ts'

const NONE = Buffer.alloc(0)
const PRODUCER = { id: 'p', epoch: 1 }

const refusals = suite('workers/engine/refusals')

refusals('a refusal names only offsets that are durable when it is answered', () => {
  const { shard } = open()
  append(shard, 'one')
  flush(shard)
  append(shard, 'two')
  const results = append(shard, 'three', { expectedOffset: 1 })
  assert.is(results.length, 0)
  flush(shard)
  assert.equal(codes(results), ['offset_mismatch'])
  assert.equal(shard.read('s'), ['one', 'two'])
})

refusals('whatever a refusal rests on is durable before it is answered', () => {
  const cases: Record<string, (shard: SimulatedShard) => MutationResult[]> = {
    stream_closed: shard => {
      shard.mutate({ kind: 'close', stream: 's' }, NONE, ignore)
      return append(shard, 'late')
    },
    stream_exists: shard => {
      append(shard, 'made')
      const { defaultConfig } = SIMULATED_OPTIONS
      const config = { ...defaultConfig, checkpointEvery: 7 }
      return collect(settled =>
        shard.mutate({ kind: 'create', stream: 's', config }, NONE, settled),
      )
    },
    stream_not_found: shard => {
      shard.mutate({ kind: 'delete', stream: 's' }, NONE, ignore)
      return collect(settled => shard.mutate({ kind: 'close', stream: 's' }, NONE, settled))
    },
    beyond_end: shard => {
      append(shard, 'second')
      return collect(settled => {
        shard.mutate({ kind: 'trim', stream: 's', before: 9 }, NONE, settled)
      })
    },
    producer_fenced: shard => {
      append(shard, 'new', { producer: { ...PRODUCER, epoch: 2, seq: 0 } })
      return append(shard, 'old', { producer: { ...PRODUCER, seq: 1 } })
    },
  }
  for (const [code, run] of Object.entries(cases)) {
    const { shard } = open()
    append(shard, 'first', { producer: { ...PRODUCER, seq: 0 } })
    flush(shard)
    const results = run(shard)
    assert.equal([code, results.length], [code, 0])
    flush(shard)
    assert.equal(codes(results), [code])
  }
})

refusals('a repeated append is answered when the first one is durable', () => {
  const { shard } = open()
  const producer = { ...PRODUCER, seq: 0 }
  append(shard, 'once', { producer })
  const again = append(shard, 'once', { producer })
  assert.is(again.length, 0)
  flush(shard)
  assert.is(again.length, 1)
  assert.equal(shard.read('s'), ['once'])
})

refusals('a refusal makes what it rests on go out, where that could wait for long', () => {
  const { shard } = open()
  append(shard, 'one')
  flush(shard)
  relaxed(shard, 'two')
  const results = append(shard, 'three', { expectedOffset: 1 })
  flush(shard)
  assert.equal(codes(results), ['offset_mismatch'])
})

refusals('a refusal that rests on what is durable is answered at once', () => {
  const { shard } = open()
  append(shard, 'one')
  flush(shard)
  assert.equal(codes(append(shard, 'two', { expectedOffset: 5 })), ['offset_mismatch'])
})

function open() {
  const random = new Random(1)
  const disk = new SimulatedDisk(random)
  const shard = new SimulatedShard(disk, random, new Clock())
  flush(shard) // the block that opens the epoch
  return { shard }
}

function flush(shard: SimulatedShard): void {
  shard.advance()
  while (shard.flush() === 'flushed') shard.advance()
}

type Options = NonNullable<Parameters<SimulatedShard['append']>[3]>

function append(shard: SimulatedShard, body: string, options: Options = {}): MutationResult[] {
  return collect(settled => shard.append('s', [body], settled, options))
}

function relaxed(shard: SimulatedShard, body: string): void {
  append(shard, body, { durability: 'relaxed' })
}

function collect(run: (settled: (result: MutationResult) => void) => void): MutationResult[] {
  const results: MutationResult[] = []
  run(result => results.push(result))
  return results
}

function codes(results: readonly MutationResult[]): (string | undefined)[] {
  return results.map(result => ('error' in result ? result.error.code : undefined))
}

function ignore(): void {}

refusals.run()
