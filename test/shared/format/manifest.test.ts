import { crc32 } from 'node:zlib'
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

manifest('fields of another type and missing ones are rejected', () => {
  const [range] = MANIFEST.sealed
  const others = [undefined, null, 'x', -1, 1.5, [], {}, [null], [{ ...range, number: 'x' }]]
  for (const field of Object.keys(MANIFEST).filter(name => name !== 'format')) {
    for (const other of others) {
      if (['config', 'stream', 'sealed'].includes(field) && isOfType(field, other)) continue
      const bytes = encodeSealedJson({ ...MANIFEST, [field]: other })
      assert.is(decodeManifest(bytes), undefined, `${field} as ${JSON.stringify(other)}`)
    }
  }
})

manifest('fields that are not named do not count, and of one given twice the last does', () => {
  const bytes = encodeSealedJson({ ...MANIFEST, other: 1 })
  assert.is(decodeManifest(bytes)?.stream, MANIFEST.stream)
  const text = JSON.stringify(MANIFEST).replace('"stream":', '"stream":"first","stream":')
  const sealed = encodeSealedJson(0).toString()
  const checksum = crc32(text).toString(16).padStart(8, '0')
  const twice = sealed.replace(/"[0-9a-f]{8}"/, `"${checksum}"`).replace(':0}', `:${text}}`)
  assert.is(decodeManifest(Buffer.from(twice))?.stream, MANIFEST.stream)
})

manifest('a segment that is lost keeps its place, without hashes', () => {
  const lost = MANIFEST.sealed.map(range => ({ ...range, chainHead: '', recordHash: '' }))
  assert.equal(decodeManifest(encodeManifest({ ...MANIFEST, sealed: lost }))?.sealed, lost)
})

manifest('zeroed space is not a manifest', () => {
  assert.is(decodeManifest(Buffer.alloc(4096)), undefined)
})

function isOfType(field: string, value: unknown): boolean {
  if (field === 'stream') return typeof value === 'string'
  if (field === 'sealed') return Array.isArray(value) && value.length === 0
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

manifest.run()
