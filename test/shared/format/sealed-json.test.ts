import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeSealedJson, encodeSealedJson } from '../../../src/shared/format/sealed-json.ts'
import { assertRejectsFlips, assertRejectsPrefixes, golden } from '../../support/format.ts'
import { DIRECTORY_HEADER } from '../../support/format-samples.ts'

const BYTES = golden('directory-header')

const sealedJson = suite('shared/format/sealed-json')

sealedJson('the golden bytes are the content of varve.json', () => {
  const body = DIRECTORY_HEADER
  assert.equal(decodeSealedJson(BYTES), body)
  assert.ok(encodeSealedJson(body).equals(BYTES))
})

sealedJson('whatever JSON holds comes back', () => {
  for (const body of [null, 0, '', 'ä\u{1f600}\ufffd', [], { __proto__: 1, 'a"': [{}] }]) {
    assert.equal(decodeSealedJson(encodeSealedJson(body)), body)
  }
})

sealedJson('every truncated prefix is rejected', () => {
  assertRejectsPrefixes(BYTES, decodeSealedJson)
})

sealedJson('every flipped bit is rejected', () => {
  assertRejectsFlips(BYTES, decodeSealedJson)
  assertRejectsFlips(encodeSealedJson(['ä\ufffd']), decodeSealedJson)
})

sealedJson('bytes that are not UTF-8 are rejected, though they read as the same text', () => {
  const sound = encodeSealedJson(['\ufffd'])
  const at = sound.indexOf('\ufffd')
  const changed = Buffer.concat([sound.subarray(0, at), Buffer.of(0xff), sound.subarray(at + 3)])
  assert.is(changed.toString(), sound.toString())
  assert.is(decodeSealedJson(changed), undefined)
})

sealedJson('a file without a body is rejected', () => {
  assert.is(decodeSealedJson(Buffer.from('{"crc32":"00000000","body":}\n')), undefined)
})

sealedJson('zeroed space is not sealed JSON', () => {
  assert.is(decodeSealedJson(Buffer.alloc(4096)), undefined)
  assert.is(decodeSealedJson(Buffer.alloc(0)), undefined)
})

sealedJson.run()
