import { hash } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  BLOCK_HEADER_BYTES,
  BLOCK_LAYOUT,
  blockBodyChecks,
  blockBytes,
  BlockFlag,
  blockHash,
  decodeBlockHeader,
  looksBegun,
} from '../../../src/shared/format/block.ts'
import {
  assertRejectsFlips,
  assertRejectsLength,
  assertRejectsPrefixes,
  assertRejectsSet,
  golden,
  patched,
} from '../../support/format.ts'
import { SALT, SAMPLES } from '../../support/format-samples.ts'

const BYTES = golden('block')
const FRAMES_END = BLOCK_HEADER_BYTES + SAMPLES.frame.length
const SEAL = { checksumAt: BLOCK_LAYOUT.checksum[0] }

function decode(bytes: Buffer): boolean {
  const header = decodeBlockHeader(bytes, 0)
  return header !== undefined && blockBodyChecks(bytes, 0, header)
}

const block = suite('shared/format/block')

block('the golden bytes are a block that follows the first one', () => {
  const header = decodeBlockHeader(BYTES, 0)
  assert.equal(header, {
    flags: BlockFlag.Data,
    epoch: 1,
    bodyLength: SAMPLES.frame.length,
    bodyChecksum: header?.bodyChecksum,
    number: 2,
    lsn: 8192,
    durableThrough: 1,
    salt: SALT,
    previousHash: blockHash(golden('first-block'), 0),
  })
  assert.ok(BYTES.subarray(BLOCK_HEADER_BYTES, FRAMES_END).equals(SAMPLES.frame))
  assert.ok(BYTES.subarray(FRAMES_END).every(byte => byte === 0))
})

block('its hash is that of the header', () => {
  const header = BYTES.subarray(0, BLOCK_HEADER_BYTES)
  assert.is(blockHash(BYTES, 0), hash('sha256', Buffer.from(header), 'latin1'))
})

block('a block takes whole pages', () => {
  const sizes = [0, 1, 3968, 3969, 8064, 8065].map(blockBytes)
  assert.equal(sizes, [4096, 4096, 4096, 8192, 8192, 12_288])
})

block('every truncated prefix is rejected', () => {
  assertRejectsPrefixes(BYTES.subarray(0, FRAMES_END), decode)
})

block('every flipped bit of header and frames is rejected', () => {
  assertRejectsFlips(BYTES.subarray(0, FRAMES_END), decode)
})

block('reserved bytes, flags and versions are rejected', () => {
  const fields = ['reserved', 'reserved2']
  assertRejectsSet(BYTES, { table: BLOCK_LAYOUT, fields }, SEAL, decode)
  for (const flags of [0, 3, 5, 16, 255]) {
    assert.not.ok(decode(patched(BYTES, BLOCK_LAYOUT.flags[0], flags, SEAL)), `flags ${flags}`)
  }
  assert.not.ok(decode(patched(BYTES, BLOCK_LAYOUT.version[0], 2, SEAL)))
})

block('a seal and the first block of an epoch have no body', () => {
  for (const flags of [BlockFlag.IdleSeal, BlockFlag.CleanShutdown, BlockFlag.EpochOpen]) {
    assert.not.ok(decode(patched(BYTES, BLOCK_LAYOUT.flags[0], flags, SEAL)), `flags ${flags}`)
  }
  const first = golden('first-block')
  assert.is(decodeBlockHeader(first, 0)?.bodyLength, 0)
})

block('a number past 2^53 - 1 is rejected', () => {
  for (const [at] of [BLOCK_LAYOUT.number, BLOCK_LAYOUT.lsn, BLOCK_LAYOUT.durableThrough]) {
    assert.not.ok(decode(patched(BYTES, at + 7, 1, SEAL)))
  }
})

block('an absurd length is rejected, and nothing is allocated for it', () => {
  assertRejectsLength(BYTES, BLOCK_LAYOUT.bodyLength, decode)
  const sealed = patched(BYTES, BLOCK_LAYOUT.bodyLength[0] + 3, 0xff, SEAL)
  const header = decodeBlockHeader(sealed, 0)
  assert.ok(header)
  assert.not.ok(blockBodyChecks(sealed, 0, header))
})

block('zeroed space is not a block, nor begun as one', () => {
  const zeros = Buffer.alloc(4096)
  assert.not.ok(decode(zeros))
  assert.not.ok(looksBegun(zeros, SALT))
})

block('a torn header is begun as a block by its magic or its salt', () => {
  const zeros = Buffer.alloc(4096)
  const [saltAt, saltBytes] = BLOCK_LAYOUT.salt
  const torn = Buffer.concat([BYTES.subarray(0, 8), zeros.subarray(8)])
  const salted = Buffer.from(zeros)
  BYTES.copy(salted, saltAt, saltAt, saltAt + saltBytes)
  assert.ok(looksBegun(torn, SALT))
  assert.ok(looksBegun(salted, SALT))
  assert.not.ok(looksBegun(salted, SALT.slice(1) + SALT.slice(0, 1)))
})

block.run()
