import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  encodeCommitEntry,
  encodeRemovedEntry,
  encodeStreamEntry,
  type StreamEntry,
} from '../../../src/shared/format/catalogue.ts'
import { GENESIS_HASH } from '../../../src/shared/format/chain.ts'
import { parseCatalogue } from '../../../src/workers/streams/catalogue-file.ts'

const catalogue = suite('workers/streams/catalogue-file')

catalogue('the last entry of a stream holds, up to the last commit', () => {
  const content = parsed([entry('a', 1), commit(1), entry('a', 5), entry('b', 2), commit(2, 2)])
  assert.equal(
    content.live.map(({ stream }) => [stream.name, stream.nextOffset]),
    [
      ['a', 5],
      ['b', 2],
    ],
  )
  assert.is(content.commit.checkpointLsn, 2)
})

catalogue('entries without a commit count for nothing', () => {
  const done = [entry('a', 1), commit(1)]
  const content = parsed([...done, entry('a', 9), entry('b', 1)])
  assert.is(content.live[0]?.stream.nextOffset, 1)
  assert.is(content.bytes, Buffer.concat(done).length)
})

catalogue('a removed stream is gone', () => {
  const removed = encodeRemovedEntry('a'.padEnd(16, '.'))
  assert.equal(parsed([entry('a', 1), commit(1), removed, commit(2)]).live, [])
})

catalogue('a torn checkpoint of which the commit alone reached the disk is not damage', () => {
  const bytes = Buffer.concat([entry('a', 1), commit(1), entry('a', 9), commit(2)])
  bytes.fill(0, Buffer.concat([entry('a', 1), commit(1)]).length + 3, bytes.length - 96)
  const content = parseCatalogue(bytes)
  assert.ok('live' in content && content.commit.checkpointLsn === 1)
})

catalogue('bytes that do not check before later checkpoints are damage, with their range', () => {
  const first = Buffer.concat([entry('a', 1), commit(1)])
  const bytes = Buffer.concat([first, entry('a', 2), commit(2), entry('a', 3), commit(3)])
  bytes.writeUInt8(0xff, first.length + 20)
  const content = parseCatalogue(bytes)
  assert.ok('damagedAt' in content && content.damagedAt === first.length)
})

catalogue('an empty file is damage, not a shard without streams', () => {
  assert.ok('damagedAt' in parseCatalogue(Buffer.alloc(0)))
})

function parsed(parts: readonly Buffer[]) {
  const content = parseCatalogue(Buffer.concat(parts))
  if (!('live' in content)) throw new Error('the catalogue is sound')
  return content
}

function entry(name: string, nextOffset: number): Buffer {
  const stream: StreamEntry = {
    name,
    config: '{}',
    streamId: name.padEnd(16, '.'),
    chainHead: GENESIS_HASH,
    recordHash: GENESIS_HASH,
    createdAt: 1,
    lastTimestamp: 2,
    firstOffset: 0,
    nextOffset,
    recordBytes: 10,
    segment: 0,
    segmentFirstOffset: 0,
    segmentBytes: 10,
    closed: false,
    lastCheckpoint: 0,
    segmentSince: 0,
    trimPoint: { offset: 0, hash: GENESIS_HASH, recordHash: GENESIS_HASH },
    firstSegment: 0,
    producers: [],
  }
  const bytes = Buffer.alloc(1000)
  return bytes.subarray(0, encodeStreamEntry(bytes, 0, stream))
}

function commit(checkpointLsn: number, entries = 1): Buffer {
  const place = { checkpointLsn, journalFile: 1, blockNumber: 1, blockHash: GENESIS_HASH }
  return encodeCommitEntry({ ...place, timestamp: 1, clockMicros: 1, entries })
}

catalogue.run()
