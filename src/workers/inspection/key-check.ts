import { hexToLatin1 } from '../../shared/format/bytes.ts'
import { SIGNING_KEY_PATH } from '../../shared/format/paths.ts'
import { Signer } from '../../shared/signing.ts'
import type { Disk } from '../disk/disk.ts'
import { readWhole } from '../disk/files.ts'
import { listPublicKeys } from '../streams/key-files.ts'
import type { Draft } from './draft.ts'

/** The raw public keys of a data directory by id, all latin1; names those that are damaged. */
export function checkKeys(disk: Disk, draft: Draft): ReadonlyMap<string, string> {
  const { keys, damaged } = listPublicKeys(disk, undefined)
  for (const file of damaged) {
    const bytes = [0, readWhole(disk, file).length] as const
    draft.damage({ file, bytes, reason: 'it does not hold the public key that its name says' })
  }
  const known = new Map(
    keys.map(({ keyId, publicKey }) => [hexToLatin1(keyId), hexToLatin1(publicKey)]),
  )
  checkSigningKey(disk, known, draft)
  return known
}

/** A copy for an auditor need not have the private key. */
function checkSigningKey(disk: Disk, known: ReadonlyMap<string, string>, draft: Draft): void {
  if (!disk.exists(SIGNING_KEY_PATH)) return
  const bytes = readWhole(disk, SIGNING_KEY_PATH)
  const signer = Signer.fromPem(bytes.toString())
  const isWhole = signer !== undefined && bytes.equals(Buffer.from(signer.toPem()))
  if (isWhole && known.has(signer.keyId)) return
  draft.damage({
    file: SIGNING_KEY_PATH,
    bytes: [0, bytes.length],
    reason: 'damaged or exchanged: none of the public keys belongs to it',
  })
}
