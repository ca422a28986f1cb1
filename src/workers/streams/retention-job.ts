import type { SegmentRange } from '../../shared/format/manifest.ts'
import { manifestPath, streamPath } from '../../shared/format/paths.ts'
import type {
  RetainedStream,
  RetentionAnswer,
  RetentionDone,
} from '../../shared/protocol/checkpointer.ts'
import type { Disk } from '../disk/disk.ts'
import { findLetGo, nextExpiry } from './retention.ts'
import { readSealed } from './sealed-segments.ts'

/** Decides by the streams' manifests what retention may trim; changes nothing. */
export function planRetention(
  disk: Disk,
  streams: readonly RetainedStream[],
  nowMicros: number,
): RetentionDone {
  return { kind: 'retention', answers: streams.map(stream => answer(disk, stream, nowMicros)) }
}

function answer(disk: Disk, stream: RetainedStream, nowMicros: number): RetentionAnswer {
  const sealed = sealedOf(disk, stream)
  if (sealed === undefined) {
    const file = manifestPath(streamPath(stream.name, stream.streamId))
    return { before: null, bytes: 0, expiresAt: Number.POSITIVE_INFINITY, damaged: file }
  }
  const { nextOffset, recordBytes, retention } = stream
  const found = findLetGo({ sealed, nextOffset, recordBytes }, retention, nowMicros)
  const rest = sealed.filter(segment => segment.nextOffset > (found?.before ?? 0))
  const expiresAt = nextExpiry(rest, retention)
  return { before: found?.before ?? null, bytes: found?.bytes ?? 0, expiresAt, damaged: null }
}

/** Returns the sealed segments that are kept; undefined if the manifest is no good. */
function sealedOf(disk: Disk, stream: RetainedStream): readonly SegmentRange[] | undefined {
  const { name, streamId, firstSegment, segment } = stream
  const sealed = readSealed(disk, streamPath(name, streamId), streamId)
  return sealed?.filter(({ number }) => number >= firstSegment && number < segment)
}
