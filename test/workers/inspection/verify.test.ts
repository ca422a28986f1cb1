import { suite } from 'uvu'
import { DiskError } from '../../../src/workers/disk/disk.ts'
import { catalogueCopyPath } from '../../../src/shared/format/paths.ts'
import * as assert from 'uvu/assert'
import { StoreError } from '../../../src/shared/errors.ts'
import { RECORD_LAYOUT } from '../../../src/shared/format/record.ts'
import { encodeSealedJson } from '../../../src/shared/format/sealed-json.ts'
import type { FlatDisk } from '../../support/flat-disk.ts'
import { FlatDisk as EmptyDisk } from '../../support/flat-disk.ts'
import {
  forgeChecksum,
  forgeOffset,
  recordsIn,
  segmentOf,
  smallStore,
  StoreMaker,
  verifyStore,
} from '../../support/inspected-store.ts'
import { directoryOf } from '../../support/stream-directory.ts'

type Place = { readonly offset: number; readonly at: number; readonly end: number }

const CATALOGUE = 'journals/shard-00/catalogue'

/** A store, one of its segments of `orders`, and the records in it. */
function storeWithSegment(index = 0): { disk: FlatDisk; path: string; places: Place[] } {
  const { disk } = smallStore()
  const path = segmentOf(disk, 'orders', index)
  return { disk, path, places: recordsIn(disk.content(path)) }
}

function flip(disk: FlatDisk, path: string, at: number): void {
  disk.change(path, bytes => {
    bytes[at] = (bytes[at] as number) ^ 0x10
  })
}

/** One damage in `orders`, of these records and bytes. */
function assertDamage(disk: FlatDisk, file: string, first: Place, last = first): void {
  const { damages, report } = verifyStore(disk)
  const found = damages.map(({ file, stream, offsets, bytes }) => ({
    file,
    stream,
    offsets,
    bytes,
  }))
  const offsets = [first.offset, last.offset + 1]
  assert.equal(found, [{ file, stream: 'orders', offsets, bytes: [first.at, last.end] }])
  assert.is(report?.ok, false)
  assert.is(report?.findings, 1)
}

const verify = suite('workers/inspection/verify')

verify('a sound store has nothing to report, and every record is counted', () => {
  const { disk, bodies } = smallStore()
  const { report, findings } = verifyStore(disk)
  assert.equal(findings, [])
  const records = [...bodies.values()].reduce((sum, all) => sum + all.length, 0)
  assert.is(report?.ok, true)
  assert.is(report?.records, records)
  assert.is(report?.streams, 3)
  assert.is(report?.segments, 5)
  assert.is(report?.indexPages, 5)
})

verify('a store that was stopped has nothing to report', () => {
  const maker = new StoreMaker()
  maker.append('orders', 9)
  maker.stop()
  assert.equal(verifyStore(maker.copy().disk).findings, [])
})

verify('a damaged record is named with its offsets and bytes', () => {
  const { disk, path, places } = storeWithSegment()
  const place = places[2] as Place
  flip(disk, path, place.at + 70)
  assertDamage(disk, path, place)
})

verify('a damaged length costs one record and is not believed', () => {
  const { disk, path, places } = storeWithSegment()
  const place = places[1] as Place
  disk.change(path, bytes => {
    bytes.writeUInt32LE(0xffffffff, place.at + RECORD_LAYOUT.length[0])
  })
  assertDamage(disk, path, place)
})

verify('every damage is named, not only the first', () => {
  const { disk, path, places } = storeWithSegment()
  for (const index of [0, 2]) flip(disk, path, (places[index] as Place).at + 3)
  const other = segmentOf(disk, 'orders', 2)
  flip(disk, other, 80)
  const { damages } = verifyStore(disk)
  assert.equal(
    damages.map(({ file, offsets }) => [file, offsets]),
    [
      [path, [0, 1]],
      [path, [2, 3]],
      [other, [9, 10]],
    ],
  )
})

verify('without an index the next sound record is found by its marker', () => {
  const { disk, path, places } = storeWithSegment()
  disk.remove(path.replace('.log', '.idx'))
  const place = places[1] as Place
  flip(disk, path, place.at)
  assertDamage(disk, path, place)
})

verify('a record that was changed and given a new checksum is told by the chain', () => {
  const { disk, path, places } = storeWithSegment()
  const place = places[1] as Place
  disk.change(path, bytes => {
    bytes.write('#', place.at + 70)
    forgeChecksum(bytes, place.at)
  })
  assertDamage(disk, path, place)
})

verify('a forged last record is told by the head that the catalogue has', () => {
  const { disk, path, places } = storeWithSegment(2)
  const place = places.at(-1) as Place
  disk.change(path, bytes => {
    bytes.write('#', place.at + 70)
    forgeChecksum(bytes, place.at)
  })
  assertDamage(disk, path, place)
})

verify('a forged last record of a sealed segment is told once', () => {
  const { disk, path, places } = storeWithSegment(0)
  const place = places.at(-1) as Place
  disk.change(path, bytes => {
    bytes.write('#', place.at + 70)
    forgeChecksum(bytes, place.at)
  })
  assertDamage(disk, path, place)
})

/** Two records in each other's place. */
function swap(bytes: Buffer, first: Place, second: Place): Buffer {
  return Buffer.concat([
    bytes.subarray(0, first.at),
    bytes.subarray(second.at, second.end),
    bytes.subarray(first.at, first.end),
    bytes.subarray(second.end),
  ])
}

verify('two records that changed places are named', () => {
  const { disk, path, places } = storeWithSegment()
  const [first, second] = places.slice(1, 3) as [Place, Place]
  disk.change(path, bytes => swap(bytes, first, second))
  assertDamage(disk, path, first, second)
  disk.remove(path.replace('.log', '.idx'))
  assertDamage(disk, path, first, second)
})

verify('two records that changed places and took new offsets are told by the chain', () => {
  const { disk, path, places } = storeWithSegment()
  const [before, first, second] = places as [Place, Place, Place]
  disk.change(path, bytes => {
    const swapped = swap(bytes, first, second)
    forgeOffset(swapped, first.at, first.offset)
    forgeOffset(swapped, first.at + second.end - second.at, second.offset)
    return swapped
  })
  assertDamage(disk, path, before, second)
})

verify('a removed segment is named with its offsets', () => {
  const { disk, path, places } = storeWithSegment(1)
  disk.remove(path)
  const [finding, ...others] = verifyStore(disk).damages
  assert.equal(others, [])
  assert.is(finding?.file, path)
  const next = recordsIn(disk.content(segmentOf(disk, 'orders', 1)))[0] as Place
  assert.equal(finding?.offsets, [(places[0] as Place).offset, next.offset])
})

verify('an older copy of the active segment is named with what it lacks', () => {
  const maker = new StoreMaker()
  maker.append('orders', 2)
  maker.store()
  const path = segmentOf(maker.copy().disk, 'orders', 0)
  const older = maker.copy().disk.content(path)
  maker.append('orders', 2)
  maker.store()
  const { disk } = maker.copy()
  const places = recordsIn(disk.content(path))
  disk.put(path, older)
  assertDamage(disk, path, places[2] as Place, places[3])
})

verify('a segment of an earlier stream of the same name is told by the chain', () => {
  const maker = new StoreMaker()
  maker.append('orders', 9)
  maker.store()
  const before = maker.copy().disk
  const path = segmentOf(before, 'orders', 0)
  maker.delete('orders')
  maker.append('orders', 9)
  maker.store()
  const { disk } = maker.copy()
  assert.equal(verifyStore(disk).damages, [])
  const taken = segmentOf(disk, 'orders', 0)
  disk.put(taken, before.content(path))
  assert.ok(verifyStore(disk).damages.some(({ file }) => file === taken))
})

verify('a segment that was cut short is named from there', () => {
  const { disk, path, places } = storeWithSegment()
  const [first, last] = [places[2], places.at(-1)] as [Place, Place]
  // The checkpoint that ended it is gone too.
  const end = disk.content(path).length
  disk.change(path, bytes => bytes.subarray(0, first.at + 5))
  assertDamage(disk, path, first, { ...last, end })
})

verify('a damaged manifest is named, and the segments are checked without it', () => {
  const { disk, path, places } = storeWithSegment()
  const manifest = `${directoryOf(disk, 'orders')}/manifest.json`
  flip(disk, manifest, 40)
  const place = places[2] as Place
  flip(disk, path, place.at + 70)
  const { damages } = verifyStore(disk)
  assert.equal(
    damages.map(({ file, offsets, bytes }) => [file, offsets, bytes]),
    [
      [manifest, undefined, [0, disk.content(manifest).length]],
      [path, [2, 3], [place.at, place.end]],
    ],
  )
})

verify('a missing manifest is a note, for a write-back that cannot replace one removes it', () => {
  const { disk } = smallStore()
  const manifest = `${directoryOf(disk, 'orders')}/manifest.json`
  disk.remove(manifest)
  const { report, notes } = verifyStore(disk)
  assert.is(report?.ok, true)
  assert.equal(
    notes.map(({ file }) => file),
    [manifest],
  )
})

verify('without a manifest a removed segment is named all the same', () => {
  const { disk, path, places } = storeWithSegment(1)
  disk.remove(path)
  disk.remove(`${directoryOf(disk, 'orders')}/manifest.json`)
  const { damages } = verifyStore(disk)
  const gone = [(places[0] as Place).offset, (places.at(-1) as Place).offset + 1]
  assert.is(damages.length, 1)
  assert.equal(damages[0]?.offsets, gone)
})

verify('a manifest of another stream is named', () => {
  const { disk } = smallStore()
  const manifest = `${directoryOf(disk, 'orders')}/manifest.json`
  const { body } = JSON.parse(disk.content(manifest).toString()) as { body: object }
  disk.put(manifest, encodeSealedJson({ ...body, stream: 'other' }))
  const { damages } = verifyStore(disk)
  assert.equal(
    damages.map(({ file }) => file),
    [manifest],
  )
})

verify('a manifest that checks and makes no sense is named', () => {
  const { disk } = smallStore()
  const manifest = `${directoryOf(disk, 'orders')}/manifest.json`
  const { body } = JSON.parse(disk.content(manifest).toString()) as { body: object }
  for (const sealed of [undefined, 1, [null], [{ number: 0 }]]) {
    disk.put(manifest, encodeSealedJson({ ...body, sealed }))
    assert.equal(
      verifyStore(disk).damages.map(({ file }) => file),
      [manifest],
    )
  }
})

verify('bytes past the end of a segment are a note', () => {
  const { disk, path } = storeWithSegment(2)
  const size = disk.content(path).length
  disk.change(path, bytes => Buffer.concat([bytes, Buffer.alloc(9)]))
  const { damages, notes } = verifyStore(disk)
  assert.equal(damages, [])
  assert.equal(
    notes.map(({ file, bytes }) => [file, bytes]),
    [[path, [size, size + 9]]],
  )
})

verify('a wrong and a missing index are notes', () => {
  const { disk, path } = storeWithSegment()
  const index = path.replace('.log', '.idx')
  flip(disk, index, 20)
  assert.equal(
    verifyStore(disk).notes.map(({ file, bytes }) => [file, bytes]),
    [[index, [0, 4096]]],
  )
  disk.remove(index)
  const { report, notes } = verifyStore(disk)
  assert.is(report?.ok, true)
  assert.equal(
    notes.map(({ file }) => file),
    [index],
  )
})

verify('what belongs to no stream is a note, and so is what recovery has cut', () => {
  const { disk } = smallStore()
  disk.makeDirectory('streams/00')
  const strangers = [
    'streams/00/x',
    'x',
    `${directoryOf(disk, 'orders')}/x`,
    'journals/shard-00/x',
    'quarantine/x.cut',
  ]
  for (const path of strangers) disk.put(path, Buffer.alloc(1))
  const { damages, notes } = verifyStore(disk)
  assert.equal(damages, [])
  assert.equal(notes.map(({ file }) => file).sort(), [...strangers].sort())
})

verify('an entry of the catalogue that does not check is named', () => {
  const { disk } = smallStore()
  for (const path of [CATALOGUE, catalogueCopyPath(0)]) flip(disk, path, 5)
  const [finding, ...others] = verifyStore(disk).damages
  assert.equal(others, [])
  assert.is(finding?.file, CATALOGUE)
  assert.is(finding?.bytes?.[0], 0)
})

verify('a damaged copy of the catalogue is a note, for the other one has all of it', () => {
  for (const path of [CATALOGUE, catalogueCopyPath(0)]) {
    const { disk } = smallStore()
    flip(disk, path, 5)
    const { damages, notes } = verifyStore(disk)
    assert.equal(damages, [])
    assert.equal(
      notes.map(({ file, bytes }) => [file, bytes?.[0]]),
      [[path, 5]],
    )
  }
})

verify('a directory that cannot be read is not said to have no header', () => {
  const { disk } = smallStore()
  disk.exists = () => false
  disk.list = () => {
    throw new DiskError('EACCES', 'list', '')
  }
  assert.throws(() => verifyStore(disk), /the data directory cannot be read: EACCES/)
})

verify('a directory without a header is refused, as is another format', () => {
  const refused = (disk: FlatDisk, reason: RegExp): void =>
    assert.throws(
      () => verifyStore(disk),
      (error: unknown) => error instanceof StoreError && reason.test(error.message),
    )
  refused(new EmptyDisk(), /no data directory/)
  const { disk } = smallStore()
  disk.put('varve.json', encodeSealedJson({ format: 2, shards: 1, createdAt: 0 }))
  refused(disk, /it has format 2, this version reads 3/)
})

verify('a damaged header is named, and the rest is checked', () => {
  const { disk } = smallStore()
  flip(disk, 'varve.json', 30)
  const { notes } = verifyStore(disk)
  assert.ok(
    notes.some(({ file }) => file === 'varve.json'),
    'the next start mends it',
  )
  flip(disk, 'varve.copy.json', 30)
  const { damages, report } = verifyStore(disk)
  assert.equal(
    damages.map(({ file }) => file),
    ['varve.json'],
  )
  assert.is(report?.shards, 1)
  assert.is(report?.streams, 3)
})

verify.run()
