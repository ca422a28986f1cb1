import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { latin1ToHex } from '../../../src/shared/format/bytes.ts'
import { decodeManifest, encodeManifest } from '../../../src/shared/format/manifest.ts'
import { encodeSealedJson } from '../../../src/shared/format/sealed-json.ts'
import { assertRejectsFlips, assertRejectsPrefixes, golden } from '../../support/format.ts'
import { HEADS, MANIFEST } from '../../support/format-samples.ts'

const BYTES = golden('manifest')
const BYTES_1 = golden('manifest-1')

const manifest = suite('shared/format/manifest')

manifest('the golden bytes are a manifest with one sealed segment', () => {
  assert.equal(decodeManifest(BYTES), MANIFEST)
  assert.ok(encodeManifest(MANIFEST).equals(BYTES))
})

manifest(
  'one of format 1 is still read: nothing was trimmed, no segment said when it ended',
  () => {
    const chainHead = latin1ToHex(HEADS[1] ?? '')
    const range = { number: 0, firstOffset: 0, nextOffset: 2, bytes: 180 }
    assert.equal(decodeManifest(BYTES_1), {
      ...MANIFEST,
      sealed: [{ ...range, chainHead, lastTimestamp: null }],
      active: { number: 1, firstOffset: 2 },
    })
  },
)

manifest('every truncated prefix is rejected', () => {
  for (const bytes of [BYTES, BYTES_1]) assertRejectsPrefixes(bytes, decodeManifest)
})

manifest('every flipped bit is rejected', () => {
  for (const bytes of [BYTES, BYTES_1]) assertRejectsFlips(bytes, decodeManifest)
})

manifest('another format and other content are rejected', () => {
  for (const body of [
    { ...MANIFEST, format: 3 },
    { ...MANIFEST, format: 0 },
    {},
    [],
    null,
    1,
    'manifest',
  ]) {
    assert.is(decodeManifest(encodeSealedJson(body)), undefined)
  }
})

manifest('zeroed space is not a manifest', () => {
  assert.is(decodeManifest(Buffer.alloc(4096)), undefined)
})

manifest.run()
