import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BatchBuilder } from '../../../src/main/cli/batch-builder.ts'
import { bodiesOf, countBatchItems } from '../../../src/main/cli/record-output.ts'
import { RecordFormat } from '../../../src/shared/format/record.ts'

const builder = suite('main/cli/batch-builder')

function add(target: BatchBuilder, ...bodies: string[]): void {
  for (const body of bodies) target.add(RecordFormat.Text, Buffer.from(body))
}

builder('a batch holds its records in the batch encoding', () => {
  const batches = new BatchBuilder({ recordsMax: 10, bytesMax: 100 })
  add(batches, 'one', '', 'three')
  const { bytes, count, bodyBytes } = batches.take()
  assert.equal([count, bodyBytes, countBatchItems(bytes)], [3, 8, 3])
  assert.is(bodiesOf(bytes, { count: 3, lineFeeds: true }).toString(), 'one\n\nthree\n')
})

builder('the format of each record is kept', () => {
  const batches = new BatchBuilder({ recordsMax: 10, bytesMax: 100 })
  batches.add(RecordFormat.Binary, Buffer.from([255]))
  batches.add(RecordFormat.Json, Buffer.from('1'))
  const { bytes } = batches.take()
  assert.equal([...bytes], [1, 0, 0, 0, 0, 0, 0, 0, 255, 1, 0, 0, 0, 0, 0, 1, 0, 49])
})

builder('a batch is full at its number of records', () => {
  const batches = new BatchBuilder({ recordsMax: 2, bytesMax: 100 })
  add(batches, 'a')
  assert.is(batches.fits(1), true)
  add(batches, 'b')
  assert.is(batches.fits(0), false)
})

builder('a batch is full at its bytes, headers of the items included', () => {
  const batches = new BatchBuilder({ recordsMax: 10, bytesMax: 20 })
  add(batches, 'a')
  assert.equal([batches.fits(3), batches.fits(4)], [true, false])
})

builder('a record larger than the bound goes alone', () => {
  const batches = new BatchBuilder({ recordsMax: 10, bytesMax: 20 })
  assert.is(batches.fits(1000), true)
  add(batches, 'x'.repeat(1000))
  assert.is(batches.fits(0), false)
  assert.is(batches.take().bytes.length, 1008)
})

builder('what was taken does not change with the next batch', () => {
  const batches = new BatchBuilder({ recordsMax: 10, bytesMax: 100 })
  add(batches, 'first')
  const { bytes } = batches.take()
  add(batches, 'other')
  assert.is(bodiesOf(bytes, { count: 1, lineFeeds: false }).toString(), 'first')
})

builder.run()
