import { latin1ToHex } from '../../shared/format/bytes.ts'
import { decodeManifest, type SegmentRange } from '../../shared/format/manifest.ts'
import { manifestPath } from '../../shared/format/paths.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { readWhole } from '../disk/files.ts'

/**
 * Returns the sealed segments that a stream's manifest names; undefined where it is missing, cannot
 * be read, is damaged or is of another stream.
 * @param streamId latin1
 */
export function readSealed(
  disk: Disk,
  directory: string,
  streamId: string,
): readonly SegmentRange[] | undefined {
  try {
    const manifest = decodeManifest(readWhole(disk, manifestPath(directory)))
    return manifest?.streamId === latin1ToHex(streamId) ? manifest.sealed : undefined
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    return undefined
  }
}
