import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { formatSize, readSize } from '../../src/main/size.ts'

const size = suite('main/size')

size('a number without a unit is bytes', () => {
  assert.is(readSize('65536'), 65_536)
})

size('binary units are powers of 1024, decimal ones of 1000', () => {
  assert.equal(['64KiB', '1.5MiB', '2GiB'].map(readSize), [65_536, 1_572_864, 2_147_483_648])
  assert.equal(['64KB', '1.5 mb', '1GB'].map(readSize), [64_000, 1_500_000, 1_000_000_000])
})

size('what is no size is not a number', () => {
  for (const text of ['', 'x', '1K', '-1', '1e3', '1 2MB', 'MiB', '0x10']) {
    assert.ok(Number.isNaN(readSize(text)), text)
  }
})

size('a size is written in the largest unit that keeps it whole', () => {
  assert.equal([0, 1000, 1024, 1536, 67_108_864].map(formatSize), [
    '0',
    '1000',
    '1KiB',
    '1536',
    '64MiB',
  ])
})

size.run()
