import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ReadRequest } from '../../../src/shared/protocol/streams.ts'
import { planRead } from '../../../src/workers/engine/read-planner.ts'
import { openDataDirectory } from '../../../src/workers/recovery/data-directory.ts'
import { recoverShard } from '../../../src/workers/recovery/open-shard.ts'
import { readStream } from '../../../src/workers/streams/read-stream.ts'
import type { FlatDisk } from '../../support/flat-disk.ts'
import { storeErrorCode } from '../../support/format.ts'
import { SMALL_OPTIONS, StoreMaker } from '../../support/inspected-store.ts'
import { Random } from '../../support/random.ts'
import { Clock } from '../../support/simulated-shard.ts'

/** Several segments with checkpoints among the records, two in a row in places. */
function makeStore(): FlatDisk {
  const maker = new StoreMaker()
  maker.append('orders', 3)
  maker.checkpoint('orders')
  maker.append('orders', 1)
  maker.checkpoint('orders')
  maker.append('orders', 9)
  maker.checkpoint('orders')
  maker.store()
  return maker.copy().disk
}

function readPage(disk: FlatDisk, part: Partial<ReadRequest>) {
  const whole = { from: 0, direction: 'forward', limit: 1000, maxBytes: 1e6 } as const
  const request: ReadRequest = { ...whole, verify: 'links', encoding: 'json', ...part }
  const copy = disk.copy()
  const environment = new Clock().environment(new Random(1))
  openDataDirectory(copy, environment, 1)
  const { table } = recoverShard(copy, environment, 0, SMALL_OPTIONS)
  const range = { ...request, since: undefined, wholeTail: false, fromCheckpoint: false }
  return readStream(copy, planRead(table.durable('orders'), range), request)
}

const cursor = suite('workers/streams/stored-cursor')

cursor('the cursor behind any stored record is accepted at its place and nowhere else', () => {
  const disk = makeStore()
  const count = readPage(disk, {}).selection.nextOffset
  assert.ok(count > 10)
  const hashes = Array.from({ length: count }, (_, from) => {
    const { lastHash } = readPage(disk, { from, limit: 1 })
    assert.ok(lastHash)
    return lastHash
  })
  for (const [offset, after] of hashes.entries()) {
    const from = offset + 1
    readPage(disk, { from, limit: 1, after })
    readPage(disk, { from, limit: 1, after, direction: 'backward' })
    const wrong = () => readPage(disk, { from: offset, limit: 1, after })
    assert.is(storeErrorCode(wrong), 'history_mismatch', `${offset}`)
  }
})

cursor('a page backward ends with the cursor of the next one', () => {
  const disk = makeStore()
  const count = readPage(disk, {}).selection.nextOffset
  for (let from = count; from > 1; from -= 1) {
    const { lastHash, selection } = readPage(disk, { from, direction: 'backward', limit: 1 })
    assert.is(selection.nextOffset, from - 1)
    readPage(disk, { from: from - 1, limit: 1, after: lastHash ?? '' })
  }
})

cursor.run()
