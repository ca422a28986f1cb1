import { createPrivateKey, createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto'

// Ed25519 (RFC 8032) of raw bytes, which node:crypto takes and gives in DER only (RFC 8410). Keys,
// ids, seeds and signatures are latin1 here, like every hash.

const KEY_BYTES = 32
export const KEY_ID_BYTES = 16
export const SIGNATURE_BYTES = 64

/** What comes before the 32 raw bytes of a private key in PKCS8, and of a public key in SPKI. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

/** First half of the SHA-256 of a raw public key. */
export function keyIdOf(publicKey: string): string {
  return hash('sha256', Buffer.from(publicKey, 'latin1'), 'latin1').slice(0, KEY_ID_BYTES)
}

/** A private key that signs. */
export class Signer {
  readonly #key: KeyObject
  /** 32 raw bytes. */
  readonly publicKey: string
  readonly keyId: string

  private constructor(key: KeyObject) {
    this.#key = key
    this.publicKey = rawPublicKey(createPublicKey(key))
    this.keyId = keyIdOf(this.publicKey)
  }

  /** @param seed 32 unpredictable bytes; the same ones make the same key */
  static fromSeed(seed: string): Signer {
    const der = Buffer.concat([PKCS8_PREFIX, Buffer.from(seed, 'latin1')])
    return new Signer(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }))
  }

  /** The key of a PKCS8 PEM; undefined where it holds no Ed25519 private key. */
  static fromPem(pem: string): Signer | undefined {
    const key = decodeKey(() => createPrivateKey(pem))
    return key && new Signer(key)
  }

  /** PKCS8 PEM. */
  toPem(): string {
    return this.#key.export({ format: 'pem', type: 'pkcs8' }) as string
  }

  /** 64 bytes. */
  sign(message: Buffer): string {
    return sign(null, message, this.#key).toString('latin1')
  }
}

/** A public key as SPKI PEM. */
export function publicKeyToPem(publicKey: string): string {
  return publicKeyObject(publicKey).export({ format: 'pem', type: 'spki' }) as string
}

/** The raw public key of an SPKI PEM; undefined where it holds no Ed25519 public key. */
export function publicKeyFromPem(pem: string): string | undefined {
  // A private key would do for node:crypto; here it is in the wrong place.
  if (pem.includes('PRIVATE')) return undefined
  const key = decodeKey(() => createPublicKey(pem))
  return key && rawPublicKey(key)
}

/** Making a key object costs as much as a verification (180 and 140 µs); a store has few keys. */
const KEY_OBJECTS_MAX = 64
const keyObjects = new Map<string, KeyObject>()

/** Whether `signature` is that of `message` by the owner of the raw public key. */
export function verifySignature(publicKey: string, message: Buffer, signature: string): boolean {
  if (signature.length !== SIGNATURE_BYTES || publicKey.length !== KEY_BYTES) return false
  let key = keyObjects.get(publicKey)
  if (key === undefined) {
    if (keyObjects.size === KEY_OBJECTS_MAX) keyObjects.clear()
    key = publicKeyObject(publicKey)
    keyObjects.set(publicKey, key)
  }
  return verify(null, message, key, Buffer.from(signature, 'latin1'))
}

function publicKeyObject(publicKey: string): KeyObject {
  const der = Buffer.concat([SPKI_PREFIX, Buffer.from(publicKey, 'latin1')])
  return createPublicKey({ key: der, format: 'der', type: 'spki' })
}

function rawPublicKey(key: KeyObject): string {
  return key.export({ format: 'der', type: 'spki' }).toString('latin1', SPKI_PREFIX.length)
}

/** Undefined for whatever cannot be read as a key, and for keys of another algorithm. */
function decodeKey(make: () => KeyObject): KeyObject | undefined {
  try {
    const key = make()
    return key.asymmetricKeyType === 'ed25519' ? key : undefined
  } catch {
    return undefined // node:crypto throws for any input that is no key, each in its own way
  }
}
