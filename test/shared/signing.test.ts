import { generateKeyPairSync, verify } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { hexToLatin1, latin1ToHex } from '../../src/shared/format/bytes.ts'
import {
  KEY_ID_BYTES,
  keyIdOf,
  publicKeyFromPem,
  publicKeyToPem,
  SIGNATURE_BYTES,
  Signer,
  verifySignature,
} from '../../src/shared/signing.ts'

const signing = suite('shared/signing')

/** RFC 8032, section 7.1, TEST 2. */
const RFC = {
  seed: '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
  publicKey: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
  message: Buffer.from('72', 'hex'),
  signature:
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da' +
    '085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
}
const signer = (byte: string): Signer => Signer.fromSeed(byte.repeat(32))

signing('a seed signs as RFC 8032 says', () => {
  const key = Signer.fromSeed(hexToLatin1(RFC.seed))

  assert.is(latin1ToHex(key.publicKey), RFC.publicKey)
  assert.is(latin1ToHex(key.sign(RFC.message)), RFC.signature)
  assert.is(key.sign(RFC.message).length, SIGNATURE_BYTES)
})

signing('a key id is the first half of the SHA-256 of the raw public key', () => {
  const id = keyIdOf(hexToLatin1(RFC.publicKey))

  assert.is(id.length, KEY_ID_BYTES)
  assert.is(latin1ToHex(id), '39f713d0a644253f04529421b9f51b9b')
  assert.is(Signer.fromSeed(hexToLatin1(RFC.seed)).keyId, id)
})

signing('a key survives its PEM', () => {
  const copy = Signer.fromPem(signer('a').toPem())

  assert.is(copy?.publicKey, signer('a').publicKey)
  assert.is(publicKeyFromPem(publicKeyToPem(signer('a').publicKey)), signer('a').publicKey)
})

signing('a PEM may lack its last line feed', () => {
  const { publicKey } = signer('a')
  assert.is(publicKeyFromPem(publicKeyToPem(publicKey).trimEnd()), publicKey)
  assert.is(Signer.fromPem(signer('a').toPem().trimEnd())?.publicKey, publicKey)
})

signing('what is no Ed25519 key is none', () => {
  const { privateKey, publicKey } = generateKeyPairSync('x25519')
  const pem = { format: 'pem' } as const

  assert.is(Signer.fromPem(''), undefined)
  assert.is(Signer.fromPem(signer('a').toPem().slice(0, 60)), undefined)
  assert.is(Signer.fromPem(privateKey.export({ ...pem, type: 'pkcs8' }) as string), undefined)
  assert.is(publicKeyFromPem(publicKey.export({ ...pem, type: 'spki' }) as string), undefined)
  assert.is(publicKeyFromPem(signer('a').toPem()), undefined, 'a private key in a public place')
})

signing('a signature holds for its key and message alone', () => {
  const message = Buffer.from('the head')
  const signature = signer('a').sign(message)

  assert.ok(verifySignature(signer('a').publicKey, message, signature))
  assert.not(verifySignature(signer('b').publicKey, message, signature), 'another key')
  assert.not(verifySignature(signer('a').publicKey, Buffer.from('the heaD'), signature))
  assert.not(verifySignature(signer('a').publicKey, message, signature.slice(1)), 'cut')
  assert.not(verifySignature('short', message, signature))
})

signing('more keys than are kept ready still verify', () => {
  const message = Buffer.from('the head')
  for (let byte = 0; byte < 130; byte += 1) {
    const key = signer(String.fromCharCode(byte % 65))
    assert.ok(verifySignature(key.publicKey, message, key.sign(message)))
  }
})

signing('other software verifies with the PEM', () => {
  const message = Buffer.from('the head')
  const signature = Buffer.from(signer('a').sign(message), 'latin1')

  assert.ok(verify(null, message, publicKeyToPem(signer('a').publicKey), signature))
})

signing.run()
