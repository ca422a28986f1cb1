import { StoreError } from '../../shared/errors.ts'
import { hexToLatin1, latin1ToHex } from '../../shared/format/bytes.ts'
import {
  checkpointFields,
  decodeCheckpointBody,
  signedBytes,
  StateChange,
} from '../../shared/format/checkpoint.ts'
import type { LocatedRecord } from '../../shared/format/read-page.ts'
import { decodeRecord, RecordKind } from '../../shared/format/record.ts'
import type { PublicKey } from '../../shared/protocol/streams.ts'
import { verifySignature } from '../../shared/signing.ts'

/** Raw public keys by id, all latin1. */
export type PublicKeys = ReadonlyMap<string, string>

export function publicKeysById(keys: readonly PublicKey[]): PublicKeys {
  return new Map(keys.map(({ keyId, publicKey }) => [hexToLatin1(keyId), hexToLatin1(publicKey)]))
}

/** Checks what checkpoints say: an anchor is trusted for its signature, never for being there. */
export class CheckpointCheck {
  readonly #streamId: string
  readonly #keys: PublicKeys

  /** @param streamId latin1 */
  constructor(streamId: string, keys: readonly PublicKey[]) {
    this.#streamId = streamId
    this.#keys = publicKeysById(keys)
  }

  /** @throws StoreError corrupt_record when the checkpoint is not what a known key signed */
  check(located: LocatedRecord): void {
    const reason = faultOf(located, this.#streamId, this.#keys)
    if (reason === undefined) return
    const { offset } = located.record
    throw new StoreError('corrupt_record', `the checkpoint before record ${offset} ${reason}`, {
      firstCorruptOffset: offset,
      nextReadableOffset: offset + 1,
    })
  }
}

/**
 * Returns what is wrong with a checkpoint that should sign a change of its stream's state, as the
 * end of a sentence; undefined if it is sound.
 * @param stored record of the checkpoint, latin1
 * @param streamId latin1
 */
export function unsignedReason(
  stored: string,
  streamId: string,
  keys: PublicKeys,
): string | undefined {
  const bytes = Buffer.from(stored, 'latin1')
  const record = decodeRecord(bytes, 0)
  if (record?.kind !== RecordKind.Checkpoint || record.end !== bytes.length) return 'is damaged'
  if (decodeCheckpointBody(bytes, record)?.change === StateChange.None) return 'signs no change'
  return faultOf({ bytes, record }, streamId, keys)
}

function faultOf(
  { bytes, record }: LocatedRecord,
  streamId: string,
  keys: PublicKeys,
): string | undefined {
  const body = decodeCheckpointBody(bytes, record)
  if (body === undefined) return 'makes no sense'
  const publicKey = keys.get(body.keyId)
  if (publicKey === undefined) return `is signed with unknown key ${latin1ToHex(body.keyId)}`
  const message = signedBytes(checkpointFields(streamId, record, body))
  if (!verifySignature(publicKey, message, body.signature)) return 'has a wrong signature'
  return body.recordCount === record.offset ? undefined : 'counts other records'
}
