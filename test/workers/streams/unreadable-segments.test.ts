import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StoreError } from '../../../src/shared/errors.ts'
import { INDEX_PAGE_ENTRIES } from '../../../src/shared/format/index-page.ts'
import { indexPath } from '../../../src/shared/format/paths.ts'
import { RecordKind, viewRecord } from '../../../src/shared/format/record.ts'
import type { ReadRequest, ReadVerify } from '../../../src/shared/protocol/streams.ts'
import { type Disk, DiskError } from '../../../src/workers/disk/disk.ts'
import { planRead } from '../../../src/workers/engine/read-planner.ts'
import { openDataDirectory } from '../../../src/workers/recovery/data-directory.ts'
import { recoverShard } from '../../../src/workers/recovery/open-shard.ts'
import { extendIndex, lookUp, scanEntries } from '../../../src/workers/streams/offset-index.ts'
import { readStream } from '../../../src/workers/streams/read-stream.ts'
import { FlatDisk } from '../../support/flat-disk.ts'
import { segmentOf, SMALL_OPTIONS, StoreMaker } from '../../support/inspected-store.ts'
import { Random } from '../../support/random.ts'
import { Clock } from '../../support/simulated-shard.ts'

// What the disk does not give is named with exact bounds; the records around it are read.

const COUNT = 60
const SECTOR = 4096
const OPTIONS = {
  ...SMALL_OPTIONS,
  defaultConfig: { ...SMALL_OPTIONS.defaultConfig, maxSegmentBytes: 1 << 20 },
}

/** One segment with all records of a stream. */
function makeStore(): FlatDisk {
  const maker = new StoreMaker(OPTIONS)
  maker.append('orders', COUNT)
  maker.store()
  return maker.copy().disk
}

const SOUND = makeStore()
const SEGMENT = segmentOf(SOUND, 'orders', 0)
const RECORDS = placesIn(SOUND.content(SEGMENT))

function placesIn(bytes: Buffer): { offset: number; at: number; end: number }[] {
  const places = []
  for (let at = 0; at < bytes.length; ) {
    const record = viewRecord(bytes, at)
    assert.ok(record)
    if (record.kind === RecordKind.Data) places.push({ offset: record.offset, at, end: record.end })
    at = record.end
  }
  return places
}

/** The same files, but reads of the bytes `[from, to)` of a file fail. */
function withBadSector(disk: FlatDisk, path: string, from: number, to: number): Disk {
  const paths = new Map<number, string>()
  return new Proxy<Disk>(disk, {
    get(target, name) {
      if (name === 'open') {
        return (opened: string, mode: Parameters<Disk['open']>[1]) => {
          const file = target.open(opened, mode)
          paths.set(file, opened)
          return file
        }
      }
      if (name === 'read') {
        return (file: number, buffer: Buffer, position: number) => {
          const isHit = position < to && position + buffer.length > from
          if (paths.get(file) !== path || !isHit) return target.read(file, buffer, position)
          if (position >= from) throw new DiskError('EIO', 'read', path)
          return target.read(file, buffer.subarray(0, from - position), position)
        }
      }
      const member = target[name as keyof Disk]
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}

function read(disk: FlatDisk, part: Partial<ReadRequest>, reads: Disk = disk): readonly number[] {
  const request: ReadRequest = {
    from: 0,
    direction: 'forward',
    limit: 1000,
    maxBytes: 1e6,
    verify: 'links',
    encoding: 'json',
    ...part,
  }
  const environment = new Clock().environment(new Random(1))
  const copy = disk.copy()
  openDataDirectory(copy, environment, 1)
  const { table } = recoverShard(copy, environment, 0, OPTIONS)
  const range = { ...request, since: request.since, wholeTail: false, fromCheckpoint: false }
  const plan = planRead(table.durable('orders'), range)
  const { records } = readStream(reads, plan, request).selection
  return records.map(({ record }) => record.offset)
}

function named(
  disk: FlatDisk,
  part: Partial<ReadRequest>,
  reads: Disk = disk,
): readonly unknown[] | undefined {
  try {
    read(disk, part, reads)
    return undefined
  } catch (error) {
    assert.instance(error, StoreError)
    const { code, fields } = error as StoreError
    return [code, fields['firstCorruptOffset'], fields['nextReadableOffset']]
  }
}

/** Records that lie in `[from, to)` of the segment, wholly or in part. */
function lostIn(from: number, to: number): [first: number, next: number] {
  const hit = RECORDS.filter(({ at, end }) => at < to && end > from)
  return [hit[0]?.offset ?? -1, (hit.at(-1)?.offset ?? -2) + 1]
}

function readable(disk: FlatDisk, reads: Disk, verify: ReadVerify = 'links'): number[] {
  return RECORDS.map(({ offset }) => offset).filter(
    from => named(disk, { from, limit: 1, verify }, reads) === undefined,
  )
}

const unreadable = suite('workers/streams/unreadable-segments')

unreadable('a sector that the disk cannot read costs the records in it, and no other', () => {
  const size = SOUND.content(SEGMENT).length
  for (let sector = 0; sector < size; sector += SECTOR) {
    const disk = withBadSector(SOUND, SEGMENT, sector, sector + SECTOR)
    const [first, next] = lostIn(sector, sector + SECTOR)
    assert.equal(named(SOUND, {}, disk), ['corrupt_record', first, next])
    const expected = RECORDS.map(({ offset }) => offset).filter(at => at < first || at >= next)
    assert.equal(readable(SOUND, disk), expected)
    assert.equal(read(SOUND, { from: next }, disk).length, COUNT - next)
  }
})

unreadable('a segment that is cut anywhere names what is gone, and the rest is read', () => {
  const size = SOUND.content(SEGMENT).length
  for (let cut = 0; cut < size; cut += 37) {
    const disk = SOUND.copy()
    disk.change(SEGMENT, bytes => bytes.subarray(0, cut))
    const [first] = lostIn(cut, size)
    assert.equal(named(disk, {}), ['corrupt_record', first, COUNT], `cut at ${cut}`)
    if (first > 0) assert.is(read(disk, { limit: first }).length, first, `cut at ${cut}`)
  }
})

unreadable('a segment that is missing is named as a whole', () => {
  const disk = SOUND.copy()
  disk.remove(SEGMENT)
  assert.equal(named(disk, {}), ['corrupt_record', 0, COUNT])
  assert.equal(named(disk, { from: 7, limit: 1 }), ['corrupt_record', 7, COUNT])
})

unreadable(
  'records whose index cannot be read, is missing or is of another stream are read',
  () => {
    const index = SEGMENT.replace('.log', '.idx')
    const missing = SOUND.copy()
    missing.remove(index)
    const foreign = SOUND.copy()
    const entries = Array.from({ length: COUNT }, (_, at) => 7 * at)
    const directory = SEGMENT.slice(0, SEGMENT.lastIndexOf('/'))
    extendIndex(foreign, directory, 0, 0, entries)
    const bad = withBadSector(SOUND, index, 0, 1 << 20)
    for (const [disk, reads] of [
      [missing, missing],
      [foreign, foreign],
      [SOUND, bad],
    ] as const) {
      assert.is(readable(disk, reads).length, COUNT)
      assert.is(readable(disk, reads, 'genesis').length, COUNT)
    }
  },
)

unreadable('a lost header and a lost index together cost one record', () => {
  const index = SEGMENT.replace('.log', '.idx')
  for (const { offset, at } of RECORDS) {
    const disk = SOUND.copy()
    disk.remove(index)
    disk.change(SEGMENT, bytes => void bytes.fill(0xff, at, at + 8))
    assert.equal(named(disk, {}), ['corrupt_record', offset, offset + 1], `record ${offset}`)
    assert.is(read(disk, { from: offset + 1 }).length, COUNT - offset - 1)
  }
})

unreadable('an index that is made whole behind damage has each record at its own place', () => {
  const directory = SEGMENT.slice(0, SEGMENT.lastIndexOf('/'))
  const added = [900_001, 900_002]
  for (const { offset, at } of RECORDS.slice(0, -1)) {
    const disk = SOUND.copy()
    disk.change(SEGMENT, bytes => void bytes.fill(0, at, at + 68))
    disk.put(indexPath(directory, 0), Buffer.alloc(0))
    extendIndex(disk, directory, 0, COUNT, added, 0)
    assert.is(lookUp(disk, directory, 0, COUNT), added[0], `record ${offset}`)
    assert.is(lookUp(disk, directory, 0, COUNT + 1), added[1])
    const known = RECORDS.filter(place => lookUp(disk, directory, 0, place.offset) === place.at)
    assert.is(known.length, COUNT - (offset > 0 ? 1 : 0))
  }
})

unreadable('an index of many pages keeps its ordinals when its segment is gone', () => {
  const disk = new FlatDisk()
  disk.makeDirectory('d')
  const ordinal = INDEX_PAGE_ENTRIES + 3
  disk.put(indexPath('d', 0), Buffer.alloc(0))
  extendIndex(disk, 'd', 0, ordinal, [77, 78])
  assert.equal(scanEntries(disk, 'd', 0, 1000), [])
  assert.equal([lookUp(disk, 'd', 0, ordinal), lookUp(disk, 'd', 0, ordinal + 1)], [77, 78])
  assert.is(lookUp(disk, 'd', 0, ordinal - 1), undefined)
})

unreadable.run()
