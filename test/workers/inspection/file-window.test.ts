import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RECORD_LAYOUT } from '../../../src/shared/format/record.ts'
import { MIB } from '../../../src/shared/limits.ts'
import { withWindow } from '../../../src/workers/inspection/file-window.ts'
import { FlatDisk } from '../../support/flat-disk.ts'
import { recordsIn, segmentOf, smallStore } from '../../support/inspected-store.ts'

/** A disk with one file, that notes the largest read asked of it. */
class WatchedDisk extends FlatDisk {
  largest = 0

  override read(file: number, target: Buffer, position: number): number {
    this.largest = Math.max(this.largest, target.length)
    return super.read(file, target, position)
  }
}

function diskWith(bytes: Buffer): WatchedDisk {
  const disk = new WatchedDisk()
  disk.put('x', bytes)
  return disk
}

const window = suite('workers/inspection/file-window')

window('a record is found whole wherever it lies', () => {
  const { disk } = smallStore()
  const path = segmentOf(disk, 'orders', 0)
  const places = recordsIn(disk.content(path))
  withWindow(disk, path, file => {
    for (const { at, offset, end } of places.toReversed()) {
      const found = file.record(at, file.size)
      assert.is(found?.record.offset, offset)
      assert.is(found?.record.end, end - at)
      assert.is(file.record(at, end - 1), undefined)
    }
  })
})

window('a length of 4 GiB reads no more than a window', () => {
  const { disk: store } = smallStore()
  const record = Buffer.from(store.content(segmentOf(store, 'orders', 0)))
  record.writeUInt32LE(0xffffffff, RECORD_LAYOUT.length[0])
  const disk = diskWith(Buffer.concat([record, Buffer.alloc(4 * MIB)]))
  withWindow(disk, 'x', file => assert.is(file.record(0, file.size), undefined))
  assert.ok(disk.largest < MIB)
})

window('a marker across the edge of a window is found', () => {
  for (const at of [0, 262_141, 262_142, 262_144, 600_000]) {
    const bytes = Buffer.alloc(700_000)
    bytes.write('VRCD', at)
    withWindow(diskWith(bytes), 'x', file => {
      assert.is(file.nextMarker(0, file.size), at)
      assert.is(file.nextMarker(at + 1, file.size), file.size)
    })
  }
})

window.run()
