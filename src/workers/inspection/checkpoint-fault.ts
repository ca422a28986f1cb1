import { latin1ToHex } from '../../shared/format/bytes.ts'
import { GENESIS_HASH } from '../../shared/format/chain.ts'
import {
  type CheckpointBody,
  checkpointFields,
  decodeCheckpointBody,
  signedBytes,
  type TrimPoint,
} from '../../shared/format/checkpoint.ts'
import type { RecordView } from '../../shared/format/record.ts'
import { verifySignature } from '../../shared/signing.ts'

/**
 * What is wrong with a checkpoint, as the end of a sentence; undefined when nothing is.
 * @param streamId latin1
 * @param trimPoint where the stream's records begin now
 * @param keys raw public keys by id, all latin1
 */
export function checkpointFault(
  bytes: Buffer,
  record: RecordView,
  streamId: string,
  trimPoint: TrimPoint,
  keys: ReadonlyMap<string, string>,
): string | undefined {
  const body = decodeCheckpointBody(bytes, record)
  if (body === undefined) return 'makes no sense'
  const publicKey = keys.get(body.keyId)
  const keyId = latin1ToHex(body.keyId)
  if (publicKey === undefined) return `is signed with key ${keyId}, which is not in keys/`
  const message = signedBytes(checkpointFields(streamId, record, body))
  if (!verifySignature(publicKey, message, body.signature)) {
    return `has a signature that is not of key ${keyId}`
  }
  if (body.recordCount !== record.offset) return `counts ${body.recordCount} records before it`
  return trimFault(body, record.offset, trimPoint)
}

/** A trim point that was signed lies at or before the one of now, where records begin. */
function trimFault({ trimPoint: signed }: CheckpointBody, offset: number, now: TrimPoint) {
  if (signed.offset > offset) return `names a trim point behind it, ${signed.offset}`
  if (signed.offset === 0 && signed.hash !== GENESIS_HASH) return 'names a hash before offset 0'
  if (signed.offset > now.offset) {
    return `names trim point ${signed.offset}, but the catalogue an older one, ${now.offset}`
  }
  if (signed.offset === now.offset && signed.hash !== now.hash) {
    return `names another hash before trim point ${now.offset} than the catalogue`
  }
  return undefined
}
