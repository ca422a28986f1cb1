import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BatchBuilder } from '../../../src/main/cli/batch-builder.ts'
import {
  bodiesOf,
  countLines,
  elementTexts,
  firstLines,
} from '../../../src/main/cli/record-output.ts'
import { RecordFormat } from '../../../src/shared/format/record.ts'

const output = suite('main/cli/record-output')

function batchOf(...bodies: string[]): Buffer {
  const builder = new BatchBuilder({ recordsMax: 100, bytesMax: 1000 })
  for (const body of bodies) builder.add(RecordFormat.Text, Buffer.from(body))
  return builder.take().bytes
}

output('bodies come back to back, or as lines', () => {
  const batch = batchOf('a', '', 'c')
  assert.is(bodiesOf(batch, { count: 3, lineFeeds: false }).toString(), 'ac')
  assert.is(bodiesOf(batch, { count: 3, lineFeeds: true }).toString(), 'a\n\nc\n')
})

output('some of the bodies can be left out at either end', () => {
  const batch = batchOf('a', 'b', 'c', 'd')
  assert.is(bodiesOf(batch, { skip: 1, count: 2, lineFeeds: false }).toString(), 'bc')
})

output('lines are counted and cut', () => {
  const lines = Buffer.from('1\n2\n3\n')
  assert.is(countLines(lines), 3)
  assert.is(firstLines(lines, 2).toString(), '1\n2\n')
  assert.is(firstLines(lines, 9).toString(), '1\n2\n3\n')
})

output('elements of an array keep the text they were written with', () => {
  const elements = [
    '{"data": 12345678901234567890.10}',
    '{"text":"],\\"}{[\\\\"}',
    '[1, [2]]',
    '"a"',
  ]
  const text = `{"type":"records","nextOffset":4,"records":[${elements.join(' , ')}],"x":[]}`
  assert.equal(elementTexts(text, 'records'), elements)
})

output('an empty array has no elements', () => {
  assert.equal(elementTexts('{"records":[ ]}', 'records'), [])
})

output('an element with line breaks in it is one line', () => {
  const text = '{"records":[\n{"data":[1,\r\n2]} ,{"data":"\\n"}]}'
  assert.equal(elementTexts(text, 'records'), ['{"data":[1,  2]}', '{"data":"\\n"}'])
})

output.run()
