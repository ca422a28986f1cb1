import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeManifest, encodeManifest } from '../../../src/shared/format/manifest.ts'
import { encodeSealedJson } from '../../../src/shared/format/sealed-json.ts'
import { assertRejectsFlips, assertRejectsPrefixes, golden } from '../../support/format.ts'
import { MANIFEST } from '../../support/format-samples.ts'

const BYTES = golden('manifest')

const manifest = suite('shared/format/manifest')

manifest('the golden bytes are a manifest with one sealed segment', () => {
  assert.equal(decodeManifest(BYTES), MANIFEST)
  assert.ok(encodeManifest(MANIFEST).equals(BYTES))
})

manifest('every truncated prefix is rejected', () => {
  assertRejectsPrefixes(BYTES, decodeManifest)
})

manifest('every flipped bit is rejected', () => {
  assertRejectsFlips(BYTES, decodeManifest)
})

manifest('another format and other content are rejected', () => {
  for (const body of [
    { ...MANIFEST, format: 0 },
    { ...MANIFEST, format: 2 },
    { ...MANIFEST, format: 4 },
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
