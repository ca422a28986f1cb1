import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  decodeEntry,
  encodeCommitEntry,
  encodeRemovedEntry,
  encodeStreamEntry,
  ENTRY_HEADER_BYTES,
  EntryType,
  placeEntries,
  NOTHING_UNWRITTEN,
  type StreamEntry,
} from '../../../src/shared/format/catalogue.ts'
import { GENESIS_HASH } from '../../../src/shared/format/chain.ts'
import {
  type CatalogueDamage,
  parseCatalogue,
} from '../../../src/workers/streams/catalogue-file.ts'

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
  assert.is(content.bytes, file(done).length)
})

catalogue('a removed stream is gone', () => {
  const removed = encodeRemovedEntry('a'.padEnd(16, '.'))
  const content = parsed([entry('a', 1), commit(1), removed, commit(2)])
  assert.equal([content.live, content.removed], [[], ['a'.padEnd(16, '.')]])
})

catalogue('a torn checkpoint of which the commit alone reached the disk is not damage', () => {
  const first = [entry('a', 1), commit(1)]
  const bytes = file([...first, entry('a', 9), commit(2)])
  bytes.fill(0, file(first).length + 3, bytes.length - commit(2).length)
  const content = parseCatalogue(bytes, SHARD)
  assert.ok('live' in content && content.commit.checkpointLsn === 1)
  assert.is(content.live[0]?.stream.nextOffset, 1)
})

catalogue('bytes that do not check before later checkpoints are damage, with their range', () => {
  const first = [entry('a', 1), commit(1)]
  const bytes = file([...first, entry('a', 2), commit(2), entry('a', 3), commit(3)])
  bytes.writeUInt8(0xff, file(first).length + 50)
  const damage = damageOf(bytes)
  const [at, to] = [file(first).length, file([...first, entry('a', 2)]).length]
  assert.equal([damage.damagedAt, damage.damagedTo], [at, to])
  assert.equal(damage.damaged, [{ at, to, streamId: 'a'.padEnd(16, '.') }])
  assert.is(damage.salvaged?.commit.checkpointLsn, 3)
  assert.is(damage.salvaged?.live[0]?.stream.nextOffset, 3)
})

catalogue('one damaged entry costs one stream, and it is told which', () => {
  const parts = [entry('a', 1), entry('b', 1), entry('c', 1), commit(1, 3)]
  const all = [...parts, entry('b', 2), commit(2), entry('c', 2), commit(3)]
  const sound = file(all)
  for (let byte = file(parts).length; byte < file([...parts, entry('b', 2)]).length; byte += 1) {
    const bytes = Buffer.from(sound)
    bytes.writeUInt8(sound.readUInt8(byte) ^ 0x10, byte)
    const { salvaged, damaged } = damageOf(bytes)
    const known = salvaged?.live.map(({ stream }) => [stream.name, stream.nextOffset])
    assert.equal(known, [['a', 1], ['b', 1], ['c', 2]]) // biome-ignore format: one row
    const lost = damaged[0]?.streamId
    const isId = byte - file(parts).length - ENTRY_HEADER_BYTES
    if (isId < 0 || isId >= 16) assert.is(lost, 'b'.padEnd(16, '.'))
    else assert.is(lost, undefined)
  }
})

catalogue('the first checkpoint of a file was never unfinished: damage in it is damage', () => {
  const bytes = file([entry('a', 1), entry('b', 1), commit(1, 2)])
  bytes.writeUInt8(0xff, 60)
  const { salvaged, damagedAt } = damageOf(bytes)
  assert.is(damagedAt, 0)
  assert.equal(
    salvaged?.live.map(({ stream }) => stream.name),
    ['b'],
  )
})

catalogue('whole commit entries in the ids of producers are no commits', () => {
  const first = [entry('a', 1), commit(1)]
  const smuggled = commit(9, 0)
  const ids = ['x', 'y'].map(letter => letter.repeat(smuggled.length))
  const producers = ids.map(id => ({ id, epoch: 0, lastSeq: 0, results: [RESULT] }))
  const second = entry('a', 2, producers)
  for (const id of ids) smuggled.copy(second, second.indexOf(id))
  const bytes = file([...first, second, commit(2)])
  assert.is(decodeEntry(bytes, bytes.indexOf(smuggled))?.type, EntryType.Commit)
  bytes.writeUInt8(0xff, file(first).length + 40) // a torn sector of an unfinished checkpoint
  const content = parseCatalogue(bytes, SHARD)
  assert.ok('live' in content && content.commit.checkpointLsn === 1)
})

catalogue('an entry of another place or another catalogue is none', () => {
  const first = file([entry('a', 1), commit(1)])
  const later = placeEntries([entry('a', 2), commit(2)], { salt: SALT, position: first.length })
  const other = placeEntries([entry('a', 2), commit(2)], {
    salt: 'other...',
    position: first.length,
  })
  const offsetOf = (bytes: Buffer) => {
    const content = parseCatalogue(bytes, SHARD)
    return 'live' in content ? content.live[0]?.stream.nextOffset : undefined
  }
  assert.is(offsetOf(Buffer.concat([first, later])), 2)
  assert.is(offsetOf(Buffer.concat([first, other])), 1)
  assert.is(offsetOf(Buffer.concat([first, first])), 1)
})

catalogue('the whole catalogue of another shard is damage', () => {
  const foreign = file([entry('a', 1), commit(1, 1, 0), entry('a', 2), commit(2, 1, 0)])
  const { salvaged, damagedAt, damagedTo } = damageOf(foreign)
  assert.equal([salvaged, damagedAt, damagedTo], [undefined, 0, foreign.length])
})

catalogue('an empty file is damage, not a shard without streams', () => {
  assert.is(damageOf(Buffer.alloc(0)).salvaged, undefined)
})

const SHARD = 1
const SALT = 'saltsalt'
const RESULT = {
  firstOffset: 0,
  nextOffset: 1,
  timestamp: 1,
  recordHash: GENESIS_HASH,
  chainHead: GENESIS_HASH,
}

function file(parts: readonly Buffer[]): Buffer {
  return placeEntries(parts, { salt: SALT, position: 0 })
}

function damageOf(bytes: Buffer): CatalogueDamage {
  const content = parseCatalogue(bytes, SHARD)
  if ('live' in content) throw new Error('the catalogue is sound')
  return content
}

function parsed(parts: readonly Buffer[]) {
  const content = parseCatalogue(file(parts), SHARD)
  if (!('live' in content)) throw new Error('the catalogue is sound')
  return content
}

function entry(name: string, nextOffset: number, producers: StreamEntry['producers'] = []): Buffer {
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
    producers,
    unwritten: NOTHING_UNWRITTEN,
    creationHash: GENESIS_HASH,
    stateCheckpoint: '',
  }
  const bytes = Buffer.alloc(1000)
  return bytes.subarray(0, encodeStreamEntry(bytes, 0, stream))
}

function commit(checkpointLsn: number, entries = 1, shard = SHARD): Buffer {
  const place = { checkpointLsn, journalFile: 1, blockNumber: 1, blockHash: GENESIS_HASH }
  return encodeCommitEntry({ ...place, timestamp: 1, clockMicros: 1, entries, shard })
}

catalogue.run()
