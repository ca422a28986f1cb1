import { createHash } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { hexToLatin1, latin1ToHex } from '../../../src/shared/format/bytes.ts'
import { isStreamIdOf, streamIdOf } from '../../../src/shared/format/stream-id.ts'
import { readFormatReadme } from '../../support/format.ts'

const streamId = suite('shared/format/stream-id')

const NONCE = hexToLatin1('3d1c7a52e09b4f66')

streamId('an id is 8 random bytes and half a hash over them and the name', () => {
  const digest = createHash('sha256')
    .update('varve.stream.v1\0')
    .update(NONCE, 'latin1')
    .update('ü/é')
    .digest('hex')
  assert.is(latin1ToHex(streamIdOf(NONCE, 'ü/é')), `3d1c7a52e09b4f66${digest.slice(0, 16)}`)
})

streamId('the format description has the id of its example', () => {
  assert.match(readFormatReadme(), `is \`${latin1ToHex(streamIdOf(NONCE, 'orders'))}\``)
})

streamId('an id fits the name that it was made for and no other', () => {
  const id = streamIdOf(NONCE, 'orders')
  assert.ok(isStreamIdOf(id, 'orders'))
  for (const name of ['order', 'orders ', 'Orders', 'orders\0', '']) {
    assert.not.ok(isStreamIdOf(id, name), name)
  }
})

streamId('an id in which one bit is another fits no more', () => {
  const id = streamIdOf(NONCE, 'orders')
  for (let bit = 0; bit < 128; bit += 1) {
    const bytes = Buffer.from(id, 'latin1')
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
    assert.not.ok(isStreamIdOf(bytes.toString('latin1'), 'orders'), `bit ${bit}`)
  }
})

streamId.run()
