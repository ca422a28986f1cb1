import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  hexToLatin1,
  isZero,
  latin1ToHex,
  readU64,
  roundUp,
  setU64,
  viewOf,
  writeU64,
} from '../../../src/shared/format/bytes.ts'

const NUMBERS = [0, 1, 255, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 52 + 3, 2 ** 53 - 1]

const bytes = suite('shared/format/bytes')

bytes('every safe integer comes back from 8 little-endian bytes', () => {
  for (const number of NUMBERS) {
    const target = Buffer.alloc(10, 0xff)
    writeU64(target, 1, number)
    assert.is(target.readBigUInt64LE(1), BigInt(number))
    assert.is(readU64(target, 1), number)
    assert.equal([target[0], target[9]], [0xff, 0xff])
  }
})

bytes('a view writes the same bytes', () => {
  for (const number of NUMBERS) {
    const [left, right] = [Buffer.alloc(9), Buffer.alloc(9)]
    writeU64(left, 1, number)
    setU64(viewOf(right), 1, number)
    assert.ok(left.equals(right), `${number}`)
  }
})

bytes('a view of a part of memory begins where the part does', () => {
  const whole = Buffer.from([1, 2, 3, 4])
  assert.is(viewOf(whole.subarray(2)).getUint8(0), 3)
  assert.is(viewOf(whole.subarray(2)).byteLength, 2)
})

bytes('a number past 2^53 - 1 compares with nothing', () => {
  for (const large of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
    const source = Buffer.alloc(8)
    source.writeBigUInt64LE(large)
    assert.ok(Number.isNaN(readU64(source, 0)))
  }
})

bytes('one bit is enough not to be zero', () => {
  const source = Buffer.from([1, 0, 0, 0, 1])
  assert.ok(isZero(source, 1, 4))
  assert.ok(isZero(source, 0, 0))
  assert.not.ok(isZero(source, 0, 4))
  assert.not.ok(isZero(source, 1, 5))
})

bytes('bytes are rounded up to whole units', () => {
  assert.equal(
    [0, 1, 4095, 4096, 4097].map(count => roundUp(count, 4096)),
    [0, 4096, 4096, 4096, 8192],
  )
})

bytes('hex and latin1 are each other', () => {
  const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  const text = hexToLatin1(all.toString('hex'))
  assert.is(text.length, 256)
  assert.is(latin1ToHex(text), all.toString('hex'))
})

bytes.run()
