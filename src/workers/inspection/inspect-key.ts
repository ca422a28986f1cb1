import { latin1ToHex } from '../../shared/format/bytes.ts'
import { PAGE_BYTES } from '../../shared/limits.ts'
import { keyIdOf, publicKeyFromPem, Signer } from '../../shared/signing.ts'
import type { FileWindow } from './file-window.ts'
import type { Listing } from './listing.ts'
import { describe } from './text.ts'

/** Says whose key it is; of a private one nothing that would give it away. */
export function inspectKey(file: FileWindow, listing: Listing): void {
  const pem = file.read(0, Math.min(file.size, PAGE_BYTES)).toString()
  const isPrivate = Signer.fromPem(pem) !== undefined
  const publicKey = Signer.fromPem(pem)?.publicKey ?? publicKeyFromPem(pem)
  if (publicKey === undefined) return listing.damage([0, file.size], 'no Ed25519 key in PEM')
  listing.line(
    describe(isPrivate ? 'private key' : 'public key', 0, {
      keyId: latin1ToHex(keyIdOf(publicKey)),
      publicKey: latin1ToHex(publicKey),
    }),
  )
}
