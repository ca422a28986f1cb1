import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  cataloguePath,
  indexPath,
  journalNumber,
  journalPath,
  manifestPath,
  parentPath,
  segmentPath,
  shardPath,
  sparePath,
  streamIdInName,
  streamPath,
} from '../../../src/shared/format/paths.ts'
import { latin1ToHex } from '../../../src/shared/format/bytes.ts'
import { STREAM_ID } from '../../support/state-samples.ts'
import { Random } from '../../support/random.ts'

const SEED = 20_260_801
const HOSTILE = ['../../etc/passwd', '..', '/', '.', '\0', 'a\\b', '__proto__', 'ä/ö', '😀']

const paths = suite('shared/format/paths')

paths('a journal has its names', () => {
  assert.is(shardPath(3), 'journals/shard-03')
  assert.is(shardPath(100), 'journals/shard-100')
  assert.is(cataloguePath(0), 'journals/shard-00/catalogue')
  assert.is(journalPath(0, 1), 'journals/shard-00/000000000001.wal')
  assert.is(sparePath(0, 12), 'journals/shard-00/000000000012.spare')
})

paths('the number of a journal file is read from its name alone', () => {
  assert.is(journalNumber('000000000042.wal'), 42)
  for (const name of ['42.wal', '000000000042.spare', '000000000042.wal.tmp', 'catalogue', '']) {
    assert.is(journalNumber(name), undefined, name)
  }
})

paths('a stream has its names', () => {
  const directory = 'streams/3d/orders-3d1c7a52e09bfa89a5b66d167245240c'
  assert.is(streamPath('orders', STREAM_ID), directory)
  assert.is(manifestPath(directory), `${directory}/manifest.json`)
  assert.is(segmentPath(directory, 7), `${directory}/segment_000007.log`)
  assert.is(indexPath(directory, 1_234_567), `${directory}/segment_1234567.idx`)
})

paths('the readable part is cut, and left out where it is empty', () => {
  assert.match(streamPath('x'.repeat(100), STREAM_ID), /^streams\/3d\/x{40}-3d[0-9a-f]{30}$/)
  assert.match(streamPath('☃', STREAM_ID), /^streams\/3d\/3d[0-9a-f]{30}$/)
})

paths('no name leads out of the streams', () => {
  const random = new Random(SEED)
  const names = Array.from({ length: 500 }, () => random.bytes(random.below(80)))
  for (const name of [...HOSTILE, ...names]) {
    const path = streamPath(name, STREAM_ID)
    assert.match(path, /^streams\/3d\/(?:[\w-]{1,40}-)?3d[0-9a-f]{30}$/, `seed ${SEED}`)
    assert.is(streamIdInName(path.slice('streams/3d/'.length)), STREAM_ID)
  }
})

paths('the stream id is read from the name of a whole directory alone', () => {
  const digits = latin1ToHex(STREAM_ID)
  for (const name of [digits.slice(1), `a/${digits}`, `a-${digits}.removed`, `é-${digits}`, '']) {
    assert.is(streamIdInName(name), undefined, name)
  }
})

paths('streams whose names read alike lie apart', () => {
  const other = STREAM_ID.replace(/^./, 'x')
  assert.is.not(streamPath('a|b', STREAM_ID), streamPath('ab', other))
})

paths('the folder part of a path', () => {
  assert.is(parentPath('a/b/c'), 'a/b')
  assert.is(parentPath('a'), '')
})

paths.run()
