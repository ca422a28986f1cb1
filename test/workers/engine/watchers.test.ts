import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { STREAM_CONFIG_DEFAULT } from '../../../src/shared/limits.ts'
import type { ShardEvent } from '../../../src/shared/protocol/shard.ts'
import { Watchers } from '../../../src/workers/engine/watchers.ts'
import { StreamLog, type TailFrame } from '../../../src/workers/streams/stream-log.ts'
import { STREAM_START } from '../../../src/workers/streams/stream-position.ts'

const watchers = suite('workers/engine/watchers')

watchers('a watch is not told of what was durable before it', () => {
  const told: ShardEvent[] = []
  const watched = new Watchers(event => told.push(event))
  const log = new StreamLog('orders', 'i'.repeat(16), 0, STREAM_CONFIG_DEFAULT)
  watched.add(1, log)
  const frame = frameOf(0)
  log.makeDurable(frame)
  watched.note(log, frame)
  const start = watched.add(2, log)
  watched.flush()
  assert.is(start.nextOffset, 1)
  const numbers = told.map(event => ('watch' in event ? event.watch : undefined))
  assert.equal(numbers, [1])
})

/** A frame of one record. */
function frameOf(firstOffset: number): TailFrame {
  const bytes = Buffer.from('a record')
  const hash = 'h'.repeat(32)
  return {
    firstOffset,
    nextOffset: firstOffset + 1,
    timestamp: 0,
    recordHash: hash,
    chainHead: hash,
    position: STREAM_START,
    hasCheckpoint: false,
    producer: undefined,
    endLsn: 100,
    chunk: { bytes, from: 0, used: bytes.length, lastLsn: 100 } as unknown as TailFrame['chunk'],
    at: 0,
    length: bytes.length,
  }
}

watchers.run()
