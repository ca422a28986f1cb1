import { StoreError } from '../../shared/errors.ts'
import { latin1ToHex } from '../../shared/format/bytes.ts'
import {
  journalNumber,
  KEYS_PATH,
  keyIdInName,
  publicKeyPath,
  shardPath,
  SIGNING_KEY_PATH,
} from '../../shared/format/paths.ts'
import type { PublicKey } from '../../shared/protocol/streams.ts'
import { keyIdOf, publicKeyFromPem, publicKeyToPem, Signer } from '../../shared/signing.ts'
import type { Disk } from '../disk/disk.ts'
import { makeDirectories, readWhole, replaceFile, withFile, writeFully } from '../disk/files.ts'
import type { Environment } from '../environment.ts'

// keys/signing.pem is the private key in use, keys/<keyId>.pub every public key that ever signed.
//
// - A public key is durable in its file before anything is signed with its private key, and is
//   never removed: or checkpoints would be there that nobody can check.
// - A private key is durable under its temporary name before its public key is: so a first start
//   that stopped halfway is told from a private key that was lost, which is never made anew in
//   silence.
// - A store that was served had a key: once all are gone, no new identity is made in silence.
// - A private key whose public key is not there is damaged or not ours: PEM has no checksum, so a
//   flipped bit would be another key.

const SEED_BYTES = 32
/** A new private key before its public key is registered. */
const PENDING_PATH = `${SIGNING_KEY_PATH}.tmp`

/** The key that checkpoints are signed with. */
export type SigningKey = {
  /** PKCS8 PEM */
  readonly pem: string
  /** latin1 */
  readonly keyId: string
}

export type KeyListing = {
  /** By key id. */
  readonly keys: readonly PublicKey[]
  /** Files that do not hold the key that their name says, relative to the data directory. */
  readonly damaged: readonly string[]
}

/**
 * The key to sign with: the one given, or that of the data directory, which is made at the first
 * start. Its public key is durable in `keys/` when this returns.
 * @param given PKCS8 PEM of a key that is kept elsewhere, and stays there
 * @throws StoreError invalid_request, with what to do, when the key is damaged or missing
 */
export function loadSigningKey(
  disk: Disk,
  environment: Environment,
  given: string | undefined,
): SigningKey {
  makeDirectories(disk, KEYS_PATH)
  if (given !== undefined) {
    const signer = Signer.fromPem(given)
    if (signer === undefined) throw refusal('the one given is no Ed25519 private key in PEM')
    registerPublicKey(disk, signer)
    return keyOf(signer)
  }
  const signer = disk.exists(SIGNING_KEY_PATH)
    ? readSigningKey(disk)
    : (finishPending(disk) ?? makeFirst(disk, environment))
  return keyOf(signer)
}

/**
 * Puts a new private key in the place of the one in use, or of one that was lost. What the old one
 * signed stays verifiable, for its public key stays.
 */
export function rotateSigningKey(disk: Disk, environment: Environment): SigningKey {
  makeDirectories(disk, KEYS_PATH)
  return keyOf(putInPlace(disk, newSigner(environment)))
}

/** Every public key of the data directory. @param activeKeyId latin1; that of the key in use */
export function listPublicKeys(disk: Disk, activeKeyId: string | undefined): KeyListing {
  const keys: PublicKey[] = []
  const damaged: string[] = []
  const names = disk.exists(KEYS_PATH) ? disk.list(KEYS_PATH) : []
  for (const name of names) {
    const keyId = keyIdInName(name)
    if (keyId === undefined) continue
    const publicKey = readPublicKey(disk, keyId)
    if (publicKey === undefined) damaged.push(publicKeyPath(keyId))
    else {
      keys.push({
        keyId: latin1ToHex(keyId),
        algorithm: 'Ed25519',
        publicKey: latin1ToHex(publicKey),
        active: keyId === activeKeyId,
      })
    }
  }
  return { keys, damaged }
}

/** The id of the private key in the data directory, where there is a sound one; changes nothing. */
export function storedKeyId(disk: Disk): string | undefined {
  if (!disk.exists(SIGNING_KEY_PATH)) return undefined
  return Signer.fromPem(readWhole(disk, SIGNING_KEY_PATH).toString())?.keyId
}

function keyOf(signer: Signer): SigningKey {
  return { pem: signer.toPem(), keyId: signer.keyId }
}

function newSigner(environment: Environment): Signer {
  return Signer.fromSeed(environment.randomBytes(SEED_BYTES))
}

function makeFirst(disk: Disk, environment: Environment): Signer {
  if (disk.list(KEYS_PATH).some(name => keyIdInName(name) !== undefined)) {
    throw refusal(
      `${SIGNING_KEY_PATH} is missing though there are public keys; restore it, ` +
        'start with the key that was given, or make a new one with: varve keys rotate',
    )
  }
  if (wasServed(disk)) {
    throw refusal(
      `${KEYS_PATH}/ has no key though this store was served before; restore it from a backup, ` +
        'start with the key that was given, or make a new identity with: varve keys rotate ' +
        '(what the lost keys signed can then be checked only with public keys kept elsewhere)',
    )
  }
  return putInPlace(disk, newSigner(environment))
}

/**
 * Whether a start ever went beyond its key. The shards open later, and then each has a journal file
 * of its own besides file 0 of the layout.
 */
function wasServed(disk: Disk): boolean {
  const journal = shardPath(0)
  return disk.exists(journal) && disk.list(journal).some(name => (journalNumber(name) ?? 0) > 0)
}

/** Goes on with a new key whose making was interrupted. */
function finishPending(disk: Disk): Signer | undefined {
  if (!disk.exists(PENDING_PATH)) return undefined
  const signer = Signer.fromPem(readWhole(disk, PENDING_PATH).toString())
  // Written anew: what is read may be in the page cache alone.
  return signer && putInPlace(disk, signer)
}

function putInPlace(disk: Disk, signer: Signer): Signer {
  withFile(disk, PENDING_PATH, 'create', file => {
    writeFully(disk, file, Buffer.from(signer.toPem()), 0)
    disk.sync(file)
  })
  disk.syncDirectory(KEYS_PATH)
  registerPublicKey(disk, signer)
  disk.rename(PENDING_PATH, SIGNING_KEY_PATH)
  disk.syncDirectory(KEYS_PATH)
  return signer
}

function readSigningKey(disk: Disk): Signer {
  const signer = Signer.fromPem(readWhole(disk, SIGNING_KEY_PATH).toString())
  if (signer === undefined || !disk.exists(publicKeyPath(signer.keyId))) {
    throw refusal(
      `${SIGNING_KEY_PATH} is damaged or was exchanged: no public key of this directory belongs ` +
        'to it; restore it, or make a new one with: varve keys rotate',
    )
  }
  registerPublicKey(disk, signer)
  return signer
}

/**
 * Makes the public key durable. One that is in place is synced, because it may be known from the
 * page cache alone, but not written: a start with a full disk needs no room for it.
 */
function registerPublicKey(disk: Disk, { keyId, publicKey }: Signer): void {
  const path = publicKeyPath(keyId)
  if (!disk.exists(path) || readPublicKey(disk, keyId) !== publicKey) {
    replaceFile(disk, path, Buffer.from(publicKeyToPem(publicKey)))
    return
  }
  withFile(disk, path, 'read', file => disk.sync(file))
  disk.syncDirectory(KEYS_PATH)
}

function readPublicKey(disk: Disk, keyId: string): string | undefined {
  const bytes = readWhole(disk, publicKeyPath(keyId))
  const publicKey = publicKeyFromPem(bytes.toString())
  const isIt = publicKey !== undefined && keyIdOf(publicKey) === keyId
  // A reader of PEM overlooks much around the key: here every byte is known.
  return isIt && bytes.equals(Buffer.from(publicKeyToPem(publicKey))) ? publicKey : undefined
}

function refusal(reason: string): StoreError {
  return new StoreError('invalid_request', `the signing key cannot be used: ${reason}`)
}
