import { StoreError } from '../../shared/errors.ts'
import { hexToLatin1, latin1ToHex } from '../../shared/format/bytes.ts'
import {
  checkpointFields,
  decodeCheckpointBody,
  signedBytes,
} from '../../shared/format/checkpoint.ts'
import type { LocatedRecord } from '../../shared/format/read-page.ts'
import type { PublicKey } from '../../shared/protocol/streams.ts'
import { verifySignature } from '../../shared/signing.ts'

/** Checks what checkpoints say: an anchor is trusted for its signature, never for being there. */
export class CheckpointCheck {
  readonly #streamId: string
  readonly #keys: ReadonlyMap<string, string>

  /** @param streamId latin1 */
  constructor(streamId: string, keys: readonly PublicKey[]) {
    this.#streamId = streamId
    this.#keys = new Map(
      keys.map(({ keyId, publicKey }) => [hexToLatin1(keyId), hexToLatin1(publicKey)]),
    )
  }

  /** @throws StoreError corrupt_record when the checkpoint is not what a known key signed */
  check({ bytes, record }: LocatedRecord): void {
    const reason = this.#fault({ bytes, record })
    if (reason === undefined) return
    const { offset } = record
    throw new StoreError('corrupt_record', `the checkpoint before record ${offset} ${reason}`, {
      firstCorruptOffset: offset,
      nextReadableOffset: offset + 1,
    })
  }

  #fault({ bytes, record }: LocatedRecord): string | undefined {
    const body = decodeCheckpointBody(bytes, record)
    if (body === undefined) return 'makes no sense'
    const publicKey = this.#keys.get(body.keyId)
    if (publicKey === undefined) return `is signed with unknown key ${latin1ToHex(body.keyId)}`
    const message = signedBytes(checkpointFields(this.#streamId, record, body))
    if (!verifySignature(publicKey, message, body.signature)) return 'has a wrong signature'
    return body.recordCount === record.offset ? undefined : 'counts other records'
  }
}
