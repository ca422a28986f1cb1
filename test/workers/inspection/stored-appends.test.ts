import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CODECS } from '../../../src/shared/format/compression.ts'
import { readCatalogue } from '../../../src/workers/streams/catalogue-copies.ts'
import type { FlatDisk } from '../../support/flat-disk.ts'
import {
  directStore,
  forgeChecksum,
  recordsIn,
  referencedStore,
  segmentOf,
  StoreMaker,
  verifyStore,
} from '../../support/inspected-store.ts'

/** Several segments past the one that the catalogue knows. */
function rolledStore(): FlatDisk {
  const maker = directStore()
  for (let count = 0; count < 5; count += 1) {
    maker.appendBody('orders', 'x'.repeat(1500))
    maker.journalReference()
  }
  return maker.copy().disk
}

function changeRecord(disk: FlatDisk, index: number, change: (record: Buffer) => void): string {
  const path = segmentOf(disk, 'orders', 0)
  disk.change(path, bytes => {
    const place = recordsIn(bytes)[index]
    assert.ok(place)
    change(bytes.subarray(place.at, place.end))
  })
  return path
}

function flipBody(record: Buffer): void {
  record[80] = (record[80] as number) ^ 1
}

const stored = suite('workers/inspection/stored-appends')

stored('records that the journal refers to are checked where they lie, and counted once', () => {
  const disk = referencedStore()
  const { report, findings } = verifyStore(disk)
  assert.is(recordsIn(disk.content(segmentOf(disk, 'orders', 0))).length, 3)
  assert.equal(
    findings.filter(({ file }) => !file.endsWith('.idx')),
    [],
  )
  assert.is(report?.records, 4)
})

stored('segments past the catalogue are no strangers when the journal explains them', () => {
  const disk = rolledStore()
  const path = segmentOf(disk, 'orders', 1)
  const { report, findings } = verifyStore(disk)
  const catalogue = readCatalogue(disk, 0)
  assert.is('live' in catalogue && catalogue.live[0]?.stream.segment, 0)
  assert.is(path.endsWith('segment_000001.log'), true)
  assert.equal(
    findings.filter(({ file }) => !file.endsWith('.idx')),
    [],
  )
  assert.is(report?.records, 6)
})

for (const [what, index] of [
  ['that the journal refers to', 2],
  ['in front of it that the journal holds too', 1],
] as const) {
  stored(`a damaged record ${what} is named with its place`, () => {
    const disk = referencedStore()
    const file = changeRecord(disk, index, flipBody)
    const [damage, ...others] = verifyStore(disk).damages
    assert.equal(others, [])
    assert.equal([damage?.file, damage?.stream], [file, 'orders'])
    assert.equal(damage?.offsets, [index, index + 1])
  })
}

stored('a record that was changed with its checksum is told by the hash in the journal', () => {
  const disk = referencedStore()
  const file = changeRecord(disk, 2, record => {
    flipBody(record)
    forgeChecksum(record, 0)
  })
  const [damage, ...others] = verifyStore(disk).damages
  assert.equal(others, [])
  assert.equal([damage?.file, damage?.offsets], [file, [2, 3]])
})

stored('records that are cut off are named', () => {
  const disk = referencedStore()
  const path = segmentOf(disk, 'orders', 0)
  const second = recordsIn(disk.content(path))[2]
  disk.put(path, Buffer.from(disk.content(path).subarray(0, second?.at)))
  const [damage] = verifyStore(disk).damages
  assert.equal([damage?.file, damage?.offsets], [path, [2, 3]])
})

stored('a segment that is missing is named, and the journal behind it is still checked', () => {
  const disk = referencedStore()
  const path = segmentOf(disk, 'orders', 0)
  disk.remove(path)
  const { report, damages } = verifyStore(disk)
  assert.equal(
    damages.map(({ file, offsets }) => [file, offsets]),
    [[path, [0, 3]]],
  )
  assert.is(report?.records, 1)
})

stored('a record that this Node cannot expand is a note, and the chain goes on behind it', () => {
  if (typeof CODECS.zstd !== 'string') return
  const maker = new StoreMaker()
  for (const body of ['a', 'b'.repeat(60), 'c']) maker.appendBody('orders', body)
  maker.store()
  const { disk } = maker.copy()
  const file = changeRecord(disk, 1, record => {
    record[25] = 2
    record.writeUInt32LE(600, 32)
    forgeChecksum(record, 0)
  })
  const { damages, notes } = verifyStore(disk)
  assert.equal(damages, [])
  const note = notes.find(found => found.file === file)
  assert.equal([note?.stream, note?.offsets], ['orders', [1, 2]])
  assert.match(note?.reason ?? '', 'this Node has no zstd')
})

stored.run()
