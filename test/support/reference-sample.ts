import {
  encodeReferenceOperation,
  referenceOperationBytes,
} from '../../src/shared/format/operation.ts'
import type { Reference } from '../../src/shared/format/reference.ts'

/** One record of 1 MiB that went to the segment by itself, behind the two of the story. */
export function referenceOf(chainHead: string): Reference {
  return {
    firstOffset: 2,
    count: 1,
    length: 1_048_652,
    checksum: 0x1a2b_3c4d,
    chainHead,
    recordHash: chainHead,
    segmentFirstOffset: 0,
    segmentSince: 1_760_000_000_250_000,
    lastCheckpoint: 0,
    recordBytes: 1_048_832,
    segment: 0,
    segmentBytes: 1_048_832,
    producer: undefined,
  }
}

/** @param streamId and @param chainHead latin1 */
export function encodeReferenceSample(streamId: string, chainHead: string): Buffer {
  const bytes = Buffer.alloc(referenceOperationBytes(undefined))
  encodeReferenceOperation(bytes, 0, streamId, referenceOf(chainHead))
  return bytes
}
