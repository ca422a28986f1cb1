import * as zlib from 'node:zlib'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  CODECS,
  type Codecs,
  COMPRESS_BYTES_MIN,
  compressBody,
  CompressionCode,
  compressionCodeOf,
  compressionNameOf,
  compressionOffered,
  ExpandError,
  expandBody,
  lz4Codec,
  zstdCodec,
} from '../../../src/shared/format/compression.ts'
import { KIB, MIB, RECORD_BYTES_MAX } from '../../../src/shared/limits.ts'
import { COMPRESSED } from '../../support/format-samples.ts'
import { Random } from '../../support/random.ts'

const SEED = 20_261_121
const { Lz4, Zstd } = CompressionCode
/** Of this Node; the bodies that one codec makes are tried on all. */
const HERE = [Lz4, Zstd].filter(code => compressionOffered(nameOf(code)) === undefined)
const WITHOUT_ZSTD: Codecs = {
  ...CODECS,
  zstd: zstdCodec({ zstdCompressSync: undefined, zstdDecompressSync: undefined }),
}
/** A Node that has zstd, as far as its door shows: deflate does the work. */
const WITH_ZSTD: Codecs = {
  ...CODECS,
  zstd: zstdCodec({
    zstdCompressSync: bytes => zlib.deflateRawSync(bytes),
    zstdDecompressSync: (bytes, { maxOutputLength } = {}) =>
      zlib.inflateRawSync(bytes, maxOutputLength === undefined ? {} : { maxOutputLength }),
  }),
}

function nameOf(code: number) {
  const name = compressionNameOf(code)
  assert.ok(name)
  return name
}

/** Words of a small vocabulary, so that codecs find something. */
function randomText(random: Random, length: number): Buffer {
  const words = Array.from({ length: 20 }, () => random.bytes(1 + random.below(12)))
  let text = ''
  while (text.length < length) text += random.pick(words)
  return Buffer.from(text.slice(0, length), 'latin1')
}

function compress(code: CompressionCode, body: Buffer, codecs = CODECS): Buffer {
  const stored = compressBody(code, body, 0, body.length, codecs)
  assert.ok(stored)
  return stored
}

/** The reason that `run` gives: undefined when it does not fail. Anything else is thrown on. */
function reasonOf(run: () => unknown): string | undefined {
  try {
    run()
  } catch (error) {
    if (error instanceof ExpandError) return error.reason
    throw error
  }
  return undefined
}

const compression = suite('shared/format/compression')

compression('names and codes are each other', () => {
  for (const [code, name] of (['none', 'lz4', 'zstd'] as const).entries()) {
    assert.is(compressionCodeOf(name), code)
    assert.is(compressionNameOf(code), name)
  }
  assert.is(compressionNameOf(3), undefined)
})

compression('a body comes back, from any place of a buffer', () => {
  const random = new Random(SEED)
  for (let round = 0; round < 300; round += 1) {
    const from = random.below(100)
    const body = randomText(random, random.below(random.pick([200, 2000, 100_000])))
    const source = Buffer.concat([Buffer.alloc(from, 1), body, Buffer.alloc(9, 2)])
    for (const code of HERE) {
      const stored = compressBody(code, source, from, from + body.length)
      if (stored === undefined) continue
      assert.ok(stored.length < body.length, `seed ${SEED}`)
      assert.ok(expandBody(code, stored, body.length).equals(body), `seed ${SEED}`)
    }
  }
})

compression('the largest body of a record comes back', () => {
  const body = Buffer.alloc(RECORD_BYTES_MAX, randomText(new Random(SEED), 10_000))
  for (const code of HERE) {
    assert.ok(expandBody(code, compress(code, body), body.length).equals(body))
  }
})

compression('a body in shared memory is compressed and expanded where it lies', () => {
  const body = Buffer.from('{"a":1}'.repeat(50))
  for (const code of HERE) {
    const shared = Buffer.from(new SharedArrayBuffer(4096))
    body.copy(shared, 10)
    const stored = compressBody(code, shared, 10, 10 + body.length)
    assert.equal(stored, compress(code, body))
    stored?.copy(shared, 2000)
    const view = shared.subarray(2000, 2000 + (stored?.length ?? 0))
    assert.ok(expandBody(code, view, body.length).equals(body))
  }
})

compression('what would not get smaller is kept as it is', () => {
  const random = new Random(SEED)
  for (const length of [0, 1, 500, 100_000]) {
    const body = Buffer.from(random.bytes(length), 'latin1')
    for (const code of HERE) {
      assert.is(compressBody(code, body, 0, length), undefined, `seed ${SEED}`)
    }
  }
})

compression('a body below the threshold is not tried', () => {
  const body = Buffer.alloc(COMPRESS_BYTES_MIN)
  assert.is(compressBody(Lz4, body, 1, body.length), undefined)
  assert.ok(compressBody(Lz4, body, 0, body.length))
})

compression('nothing is compressed with none', () => {
  assert.is(compressBody(CompressionCode.None, Buffer.alloc(KIB), 0, KIB), undefined)
})

compression('a raw LZ4 block, put together by hand, is expanded', () => {
  const { block, body } = COMPRESSED
  assert.is(expandBody(Lz4, block, body.length).toString(), body)
})

compression('a body that expands to more than is stated is refused', () => {
  for (const code of HERE) {
    const stored = compress(code, Buffer.alloc(MIB))
    for (const rawLength of [0, 1, KIB, MIB - 1]) {
      assert.is(
        reasonOf(() => expandBody(code, stored, rawLength)),
        'damaged',
      )
    }
  }
})

compression('a body that expands to less than is stated is refused', () => {
  for (const code of HERE) {
    const stored = compress(code, Buffer.alloc(MIB))
    for (const rawLength of [MIB + 1, 2 * MIB, 0xffff_ffff]) {
      assert.is(
        reasonOf(() => expandBody(code, stored, rawLength)),
        'damaged',
      )
    }
  }
})

compression('a bomb costs no memory', () => {
  const GIB = 1024 * MIB
  // Nothing but match lengths: each byte stands for 255 more zeros.
  const lz4 = Buffer.alloc(Math.ceil(GIB / 255), 0xff)
  lz4.set([0x1f, 0, 1, 0], 0)
  const bombs = [
    [Lz4, lz4] as const,
    ...(HERE.includes(Zstd) ? [[Zstd, compress(Zstd, Buffer.alloc(64 * MIB))] as const] : []),
  ]
  for (const [code, bomb] of bombs) {
    const before = process.memoryUsage()
    assert.is(
      reasonOf(() => expandBody(code, bomb, KIB)),
      'damaged',
    )
    const after = process.memoryUsage()
    assert.ok(after.arrayBuffers - before.arrayBuffers < 16 * MIB)
    assert.ok(after.rss - before.rss < 64 * MIB)
  }
})

compression('a length that no block of that size reaches is refused before it is allocated', () => {
  let asked = 0
  const ask = () => {
    asked += 1
    return Buffer.alloc(0)
  }
  const asking = { ...CODECS, lz4: lz4Codec({ compressSync: ask, uncompressSync: ask }) }
  for (const rawLength of [255 * 40 + 1, 0xffff_ffff]) {
    const run = () => expandBody(Lz4, Buffer.alloc(40), rawLength, asking)
    assert.is(reasonOf(run), 'damaged')
  }
  assert.is(asked, 0)
})

compression('every truncated prefix of a compressed body is refused', () => {
  const body = randomText(new Random(SEED), 1500)
  for (const code of HERE) {
    const stored = compress(code, body)
    for (let length = 0; length < stored.length; length += 1) {
      const prefix = Buffer.from(stored.subarray(0, length))
      assert.is(
        reasonOf(() => expandBody(code, prefix, body.length)),
        'damaged',
        `${length} bytes`,
      )
    }
  }
})

compression('a flipped bit gives a body of the stated length or a refusal', () => {
  const body = randomText(new Random(SEED), 600)
  for (const code of HERE) {
    const stored = compress(code, body)
    for (let bit = 0; bit < 8 * stored.length; bit += 1) {
      const copy = Buffer.from(stored)
      copy[bit >>> 3] = (copy[bit >>> 3] as number) ^ (1 << (bit & 7))
      const reason = reasonOf(() => assert.is(expandBody(code, copy, body.length).length, 600))
      assert.ok(reason === undefined || reason === 'damaged')
    }
  }
})

compression('random bytes give a body of the stated length or a refusal', () => {
  const random = new Random(SEED)
  for (let round = 0; round < 5000; round += 1) {
    const stored = Buffer.from(random.bytes(random.below(80)), 'latin1')
    const rawLength = random.below(random.pick([2, 300, 20_000]))
    for (const code of HERE) {
      const reason = reasonOf(() =>
        assert.is(expandBody(code, stored, rawLength).length, rawLength),
      )
      assert.ok(reason === undefined || reason === 'damaged', `seed ${SEED}`)
    }
  }
})

compression('a code without a name is damage', () => {
  for (const code of [CompressionCode.None, 3, 255]) {
    assert.is(
      reasonOf(() => expandBody(code, Buffer.alloc(8), 8)),
      'damaged',
    )
  }
})

compression('where there is no zstd it cannot be configured, and the reason is said', () => {
  assert.match(compressionOffered('zstd', WITHOUT_ZSTD) ?? '', /no zstd: 22\.15/)
  assert.is(compressionOffered('lz4', WITHOUT_ZSTD), undefined)
  assert.is(compressionOffered('none', WITHOUT_ZSTD), undefined)
})

compression('where there is no zstd its records say so, and new bodies stay as they are', () => {
  assert.is(
    reasonOf(() => expandBody(Zstd, Buffer.alloc(50), 500, WITHOUT_ZSTD)),
    'unavailable',
  )
  assert.is(compressBody(Zstd, Buffer.alloc(KIB), 0, KIB, WITHOUT_ZSTD), undefined)
})

compression('where there is zstd it is offered and used', () => {
  const body = randomText(new Random(SEED), 2000)
  assert.is(compressionOffered('zstd', WITH_ZSTD), undefined)
  const stored = compress(Zstd, body, WITH_ZSTD)
  assert.ok(expandBody(Zstd, stored, body.length, WITH_ZSTD).equals(body))
  assert.is(
    reasonOf(() => expandBody(Zstd, stored, body.length - 1, WITH_ZSTD)),
    'damaged',
  )
})

compression('where LZ4 has no binary it cannot be configured, and its records say so', () => {
  const without = { ...CODECS, lz4: 'LZ4 is not installed' }
  assert.is(compressionOffered('lz4', without), 'LZ4 is not installed')
  assert.is(compressBody(Lz4, Buffer.alloc(KIB), 0, KIB, without), undefined)
  const { block, body } = COMPRESSED
  assert.is(
    reasonOf(() => expandBody(Lz4, block, body.length, without)),
    'unavailable',
  )
})

compression('this Node offers what it has', () => {
  assert.is(compressionOffered('lz4'), undefined)
  assert.is(compressionOffered('zstd') === undefined, zlib.zstdCompressSync !== undefined)
})

compression.run()
