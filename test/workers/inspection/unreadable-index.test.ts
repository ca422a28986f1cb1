import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DiskError } from '../../../src/workers/disk/disk.ts'
import { segmentOf, smallStore, verifyStore } from '../../support/inspected-store.ts'

const indexes = suite('workers/inspection/unreadable-index')

for (const operation of ['open', 'read'] as const) {
  indexes(`an index whose ${operation} fails is a note, for nothing is lost with it`, () => {
    const { disk } = smallStore()
    const index = segmentOf(disk, 'orders', 0).replace('.log', '.idx')
    const opened = new Set<number>()
    const { open, read } = disk
    disk.open = (path, mode) => {
      if (path === index && operation === 'open') throw new DiskError('EACCES', 'open', path)
      const file = open.call(disk, path, mode)
      if (path === index) opened.add(file)
      return file
    }
    disk.read = (file, target, position) => {
      if (opened.has(file)) throw new DiskError('EIO', 'read', index)
      return read.call(disk, file, target, position)
    }

    const { report, notes } = verifyStore(disk)

    assert.is(report?.ok, true)
    assert.equal(
      notes.map(({ file }) => file),
      [index],
    )
  })
}

indexes.run()
