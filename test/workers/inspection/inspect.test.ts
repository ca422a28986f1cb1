import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StoreError } from '../../../src/shared/errors.ts'
import { PAGE_BYTES } from '../../../src/shared/limits.ts'
import type { FlatDisk } from '../../support/flat-disk.ts'
import { inspectStored, recordsIn, segmentOf, smallStore } from '../../support/inspected-store.ts'

function pathOf(disk: FlatDisk, end: string): string {
  return disk.paths().find(path => path.endsWith(end)) as string
}

function flip(disk: FlatDisk, path: string, at: number): void {
  disk.change(path, bytes => {
    bytes[at] = (bytes[at] as number) ^ 1
  })
}

const inspect = suite('workers/inspection/inspect')

inspect('every file of a sound store is recognised and checks', () => {
  const { disk } = smallStore()
  for (const path of disk.paths()) {
    const { lines, findings } = inspectStored(disk, path)
    assert.ok(lines.length > 1, path)
    assert.equal(findings, [], path)
  }
})

inspect('a journal shows blocks, frames, operations and records', () => {
  const { disk } = smallStore()
  const text = inspectStored(disk, pathOf(disk, '02.wal')).lines.join('\n')
  assert.match(text, /^header at 0, shard 0, epoch 1, number 2/m)
  assert.match(text, /^block at \d+, .*flags Data/m)
  assert.match(text, /^ {2}frame at \d+, flags Committed/m)
  assert.match(text, /^ {4}append at \d+, id [0-9a-f]{32}, firstOffset \d+, count 1/m)
  assert.match(text, /^ {6}record at \d+, offset 12, .*format Text, .*body \d+ bytes "orders 12 /m)
})

inspect('a segment goes on behind damage and names it', () => {
  const { disk } = smallStore()
  const path = segmentOf(disk, 'orders', 0)
  const [, second] = recordsIn(disk.content(path))
  flip(disk, path, (second?.at as number) + 70)
  const { lines, findings } = inspectStored(disk, path)
  assert.equal(
    findings.map(({ bytes }) => bytes),
    [[second?.at, second?.end]],
  )
  assert.ok(lines.some(line => line.includes('offset 2,')))
})

inspect('a catalogue shows streams and commits, and goes on behind damage', () => {
  const { disk } = smallStore()
  const path = pathOf(disk, 'catalogue')
  flip(disk, path, 30)
  const { lines, findings } = inspectStored(disk, path)
  assert.is(findings[0]?.bytes?.[0], 0)
  assert.ok(lines.some(line => /^stream at \d+, name "orders", .*nextOffset 15/.test(line)))
  assert.ok(lines.some(line => /^commit at \d+, checkpointLsn \d+/.test(line)))
})

inspect('a page of an index and a header that do not check are named', () => {
  const { disk } = smallStore()
  for (const end of ['02.wal', '.idx']) flip(disk, pathOf(disk, end), 9)
  for (const end of ['02.wal', '.idx']) {
    const { findings } = inspectStored(disk, pathOf(disk, end))
    assert.equal(
      findings.map(({ bytes }) => bytes),
      [[0, PAGE_BYTES]],
    )
  }
})

inspect('what recovery has cut is shown as the blocks that it was', () => {
  const { disk } = smallStore()
  const journal = disk.content(pathOf(disk, '02.wal'))
  disk.put('x.cut', journal.subarray(PAGE_BYTES, PAGE_BYTES + 200))
  const { lines, findings } = inspectStored(disk, 'x.cut')
  assert.ok(lines.some(line => line.startsWith('block at 0')))
  assert.equal(
    findings.map(({ bytes }) => bytes),
    [[0, 200]],
  )
})

inspect('text that a terminal would act on is escaped', () => {
  const { disk } = smallStore()
  const path = pathOf(disk, 'manifest.json')
  disk.put(path, Buffer.from('\u001b[2J\u009b'))
  const { lines } = inspectStored(disk, path)
  assert.is(lines.at(-1), '"\\u001b[2J\\u009b"')
})

inspect('another file is refused', () => {
  const { disk } = smallStore()
  disk.put('x', Buffer.from('hello'))
  assert.throws(
    () => inspectStored(disk, 'x'),
    (error: unknown) => error instanceof StoreError,
  )
})

inspect.run()
