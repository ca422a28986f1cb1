import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeManifest } from '../../../src/shared/format/manifest.ts'
import { indexPath, manifestPath, segmentPath } from '../../../src/shared/format/paths.ts'
import { RecordKind, viewRecord } from '../../../src/shared/format/record.ts'
import { Random } from '../../support/random.ts'
import { directoryOf } from '../../support/stream-directory.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock, SimulatedShard } from '../../support/simulated-shard.ts'

/** Appends records one by one, and stores each before the next comes. */
function appendStored(shard: SimulatedShard, count: number): void {
  for (let added = 0; added < count; added += 1) {
    shard.append('a', [`${added}`.padEnd(400)], () => undefined)
    shard.settle()
  }
}

/** What the manifest says of sealed segments, and when their last data records came. */
function sealedTimes(disk: SimulatedDisk): [stated: number, last: number][] {
  const directory = directoryOf(disk, 'a')
  const { sealed = [] } = decodeManifest(disk.content(manifestPath(directory))) ?? {}
  return sealed.map(({ number, lastTimestamp }) => {
    const bytes = disk.content(segmentPath(directory, number))
    let last = 0
    for (let record = viewRecord(bytes, 0); record; record = viewRecord(bytes, record.end)) {
      if (record.kind === RecordKind.Data) last = record.timestamp
    }
    return [lastTimestamp, last]
  })
}

const writer = suite('workers/streams/segment-writer')

writer('a sealed segment states the time of its last record, stored long before or not', () => {
  const disk = new SimulatedDisk(new Random(1))
  appendStored(new SimulatedShard(disk, new Random(2), new Clock()), 60)
  const times = sealedTimes(disk)
  assert.ok(times.length > 1)
  for (const [stated, last] of times) assert.is(stated, last)
})

writer('it does so without an index too', () => {
  const disk = new SimulatedDisk(new Random(1))
  const shard = new SimulatedShard(disk, new Random(2), new Clock())
  appendStored(shard, 2)
  while (sealedTimes(disk).length === 0) {
    const path = indexPath(directoryOf(disk, 'a'), 0)
    if (disk.exists(path)) disk.content(path).fill(0)
    appendStored(shard, 1)
  }
  const [stated, last] = sealedTimes(disk)[0] ?? []
  assert.is(stated, last)
})

writer.run()
