import { createHash } from 'node:crypto'
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
  streamPath,
} from '../../../src/shared/format/paths.ts'
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
  const digits = createHash('sha256').update('orders').digest('hex').slice(0, 16)
  const directory = `streams/${digits.slice(0, 2)}/orders-${digits}`
  assert.is(streamPath('orders'), directory)
  assert.is(manifestPath(directory), `${directory}/manifest.json`)
  assert.is(segmentPath(directory, 7), `${directory}/segment_000007.log`)
  assert.is(indexPath(directory, 1_234_567), `${directory}/segment_1234567.idx`)
})

paths('the readable part is cut, and left out where it is empty', () => {
  assert.match(streamPath('x'.repeat(100)), /^streams\/[0-9a-f]{2}\/x{40}-[0-9a-f]{16}$/)
  assert.match(streamPath('☃'), /^streams\/[0-9a-f]{2}\/[0-9a-f]{16}$/)
})

paths('no name leads out of the streams', () => {
  const random = new Random(SEED)
  const names = Array.from({ length: 500 }, () => random.bytes(random.below(80)))
  for (const name of [...HOSTILE, ...names]) {
    const path = streamPath(name)
    assert.match(path, /^streams\/[0-9a-f]{2}\/(?:[\w-]{1,40}-)?[0-9a-f]{16}$/, `seed ${SEED}`)
  }
})

paths('the folder part of a path', () => {
  assert.is(parentPath('a/b/c'), 'a/b')
  assert.is(parentPath('a'), '')
})

paths.run()
