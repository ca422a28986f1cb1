import { createHash } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { latin1ToHex } from '../../../src/shared/format/bytes.ts'
import { isStreamIdOf, streamIdOf } from '../../../src/shared/format/stream-id.ts'
import { readFormatReadme } from '../../support/format.ts'
import { CREATION_HASH, STREAM_NONCE } from '../../support/state-samples.ts'

const streamId = suite('shared/format/stream-id')

const ID = streamIdOf(STREAM_NONCE, CREATION_HASH, 'orders')

streamId('an id is 6 random bytes and 10 of a hash over them, the state and the name', () => {
  const digest = createHash('sha256')
    .update('varve.stream.v1\0')
    .update(STREAM_NONCE + CREATION_HASH, 'latin1')
    .update('ü/é')
    .digest('hex')
  const id = streamIdOf(STREAM_NONCE, CREATION_HASH, 'ü/é')
  assert.is(latin1ToHex(id), `3d1c7a52e09b${digest.slice(0, 20)}`)
})

streamId('the format description has the id of its example', () => {
  assert.match(readFormatReadme(), `is \`${latin1ToHex(ID)}\``)
})

streamId('an id fits the name that it was made for and no other', () => {
  assert.ok(isStreamIdOf(ID, CREATION_HASH, 'orders'))
  for (const name of ['order', 'orders ', 'Orders', 'orders\0', '']) {
    assert.not.ok(isStreamIdOf(ID, CREATION_HASH, name), name)
  }
})

streamId('an id fits no other state at creation', () => {
  for (let bit = 0; bit < 256; bit += 1) {
    assert.not.ok(isStreamIdOf(ID, flipped(CREATION_HASH, bit), 'orders'), `bit ${bit}`)
  }
})

streamId('an id in which one bit is another fits no more', () => {
  for (let bit = 0; bit < 128; bit += 1) {
    assert.not.ok(isStreamIdOf(flipped(ID, bit), CREATION_HASH, 'orders'), `bit ${bit}`)
  }
})

function flipped(text: string, bit: number): string {
  const bytes = Buffer.from(text, 'latin1')
  bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
  return bytes.toString('latin1')
}

streamId.run()
