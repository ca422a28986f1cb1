import { latin1ToHex } from '../../shared/format/bytes.ts'
import { decodeManifest, type Manifest, type SegmentRange } from '../../shared/format/manifest.ts'
import { manifestPath, streamPath } from '../../shared/format/paths.ts'
import type {
  RetainedStream,
  RetentionAnswer,
  RetentionDone,
} from '../../shared/protocol/checkpointer.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { readWhole } from '../disk/files.ts'
import { findLetGo, nextExpiry } from './retention.ts'

/** Looks up in their manifests what streams may let go of; changes nothing. */
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

/** The sealed segments that are kept; undefined where the manifest does not check. */
function sealedOf(disk: Disk, stream: RetainedStream): readonly SegmentRange[] | undefined {
  const path = manifestPath(streamPath(stream.name, stream.streamId))
  const manifest = readManifest(disk, path)
  if (manifest?.streamId !== latin1ToHex(stream.streamId)) return undefined
  return manifest.sealed.filter(
    ({ number }) => number >= stream.firstSegment && number < stream.segment,
  )
}

/** The manifest; undefined where it is missing, damaged or cannot be read. */
function readManifest(disk: Disk, path: string): Manifest | undefined {
  try {
    return decodeManifest(readWhole(disk, path))
  } catch (error) {
    if (error instanceof DiskError) return undefined
    throw error
  }
}
