import { createHash, createPublicKey, verify } from 'node:crypto'
import type { Checkpoint, PublicKey } from '../../src/shared/protocol/streams.ts'

// What someone outside does with a checkpoint: nothing of the service's own code is in it.

export type SignedCheckpoint = Omit<Checkpoint, 'timestamp'> & { readonly timestampMicros: number }

/** Whether one of the keys signed it, by src/shared/format/README.md. */
export function isSigned(checkpoint: SignedCheckpoint, keys: readonly PublicKey[]): boolean {
  const key = keys.find(({ keyId }) => keyId === checkpoint.keyId)
  if (key === undefined || key.keyId !== idOf(key)) return false
  const x = Buffer.from(key.publicKey, 'hex').toString('base64url')
  const jwk = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
  return verify(null, messageOf(checkpoint), jwk, Buffer.from(checkpoint.signature, 'hex'))
}

function idOf({ publicKey }: PublicKey): string {
  return createHash('sha256').update(publicKey, 'hex').digest('hex').slice(0, 32)
}

function messageOf(checkpoint: SignedCheckpoint): Buffer {
  const { streamId, offset, recordCount, timestampMicros, chainHead, trimPoint } = checkpoint
  const { stateHash, change } = checkpoint
  return Buffer.concat([
    Buffer.from('varve.checkpoint.v1\0'),
    Buffer.from(streamId, 'hex'),
    ...[offset, recordCount, timestampMicros].map(u64),
    Buffer.from(chainHead, 'hex'),
    u64(trimPoint.offset),
    Buffer.from(trimPoint.chainHead, 'hex'),
    Buffer.from(stateHash, 'hex'),
    Buffer.of(['none', 'configure', 'close', 'trim'].indexOf(change)),
  ])
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
