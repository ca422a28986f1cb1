import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StoreError } from '../../../src/shared/errors.ts'
import { checkStreamName } from '../../../src/shared/format/stream-name.ts'

const streamName = suite('shared/format/stream-name')

const GOOD = [
  'a',
  'orders/2026/07',
  '__proto__',
  'constructor',
  '%2F',
  '...',
  'a..b/.c/d.',
  ' ',
  'é',
  '\u{1F600}',
  '\uFFFD',
  'x'.repeat(512),
  'é'.repeat(256),
]

const BAD = [
  '',
  '.',
  '..',
  '/',
  '/a',
  'a/',
  'a//b',
  'a/./b',
  'a/../b',
  '../a',
  'a/..',
  'a\0b',
  'a\nb',
  '\x7f',
  '\x85',
  '\ud800',
  'a\udc00b',
  'e\u0301',
  '\u212b',
  'x'.repeat(513),
  `${'é'.repeat(256)}x`,
]

streamName('a name within the rule comes back as it is', () => {
  for (const name of GOOD) assert.is(checkStreamName(name), name)
})

streamName('a name outside the rule is refused by its code', () => {
  for (const name of BAD) {
    try {
      checkStreamName(name)
    } catch (error) {
      assert.instance(error, StoreError)
      assert.is((error as StoreError).code, 'invalid_stream_name')
      continue
    }
    assert.unreachable(JSON.stringify(name))
  }
})

streamName.run()
