import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StoreError } from '../../../src/shared/errors.ts'
import { latin1ToHex } from '../../../src/shared/format/bytes.ts'
import { PAGE_BYTES } from '../../../src/shared/limits.ts'
import { Signer } from '../../../src/shared/signing.ts'
import type { FlatDisk } from '../../support/flat-disk.ts'
import { inspectStored, recordsIn, segmentOf, smallStore } from '../../support/inspected-store.ts'

function pathOf(disk: FlatDisk, end: string): string {
  return disk.paths().find(path => path.endsWith(end)) as string
}

/** The newest file of the journal. */
function journalOf(disk: FlatDisk): string {
  return disk.paths().findLast(path => path.endsWith('.wal')) as string
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
  const text = inspectStored(disk, journalOf(disk)).lines.join('\n')
  assert.match(text, /^header at 0, shard 0, epoch 1, number \d+/m)
  assert.match(text, /^block at \d+, .*flags Data/m)
  assert.match(text, /^ {2}frame at \d+, flags Committed/m)
  assert.match(text, /^ {4}append at \d+, id [0-9a-f]{32}, firstOffset \d+, count 1/m)
  assert.match(text, /^ {6}record at \d+, offset 15, .*format Text, .*body \d+ bytes "orders 15 /m)
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

inspect('a segment shows its checkpoints and whose they are', () => {
  const { disk } = smallStore()
  const { lines } = inspectStored(disk, segmentOf(disk, 'orders', 0))
  const last = lines.at(-1) ?? ''
  assert.match(last, /^checkpoint, end of segment, at \d+, offset 5, bytes 244, /)
  assert.match(last, /recordCount 5, trimOffset 0, .*keyId [0-9a-f]{32}, signature [0-9a-f]{128}$/)
})

inspect('of a private key only the public half is shown', () => {
  const { disk } = smallStore()
  const key = Signer.fromSeed('k'.repeat(32))
  disk.put('keys/signing.pem', Buffer.from(key.toPem()))
  const text = inspectStored(disk, 'keys/signing.pem').lines.join('\n')
  assert.match(text, `private key at 0, keyId ${latin1ToHex(key.keyId)}`)
  assert.not.match(text, latin1ToHex('k'.repeat(32)))
  assert.not.match(text, key.toPem().split('\n')[1] ?? '')
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
  for (const path of [journalOf(disk), pathOf(disk, '.idx')]) {
    flip(disk, path, 9)
    const { findings } = inspectStored(disk, path)
    assert.equal(
      findings.map(({ bytes }) => bytes),
      [[0, PAGE_BYTES]],
    )
  }
})

inspect('what recovery has cut is shown as the blocks that it was', () => {
  const { disk } = smallStore()
  const journal = disk.content(journalOf(disk))
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
