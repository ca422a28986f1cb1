import { latin1ToHex } from '../../shared/format/bytes.ts'
import { decodeManifest, type SegmentRange } from '../../shared/format/manifest.ts'
import { manifestPath } from '../../shared/format/paths.ts'
import type { ReadPlan } from '../../shared/protocol/shard.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { readWhole } from '../disk/files.ts'
import { rebuildSealed } from './manifest-rebuild.ts'

/**
 * Returns the sealed segments that a stream's manifest names. Returns undefined if the manifest is
 * missing, unreadable, damaged or of another stream.
 * @param streamId latin1
 * @throws DiskError where it cannot be opened for want of descriptors
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
    if (!(error instanceof DiskError) || error.isForSpace) throw error
    return undefined
  }
}

/** A plan's sealed segments: by the manifest, or by themselves where that does not name one. */
export class SealedSegments {
  readonly #disk: Disk
  readonly #directory: string
  readonly #plan: ReadPlan
  #known: readonly SegmentRange[] | undefined
  /** Whether the manifest did not name what was asked for. */
  isManifestStale = false

  constructor(disk: Disk, directory: string, plan: ReadPlan) {
    this.#disk = disk
    this.#directory = directory
    this.#plan = plan
  }

  get all(): readonly SegmentRange[] {
    this.#known ??= readSealed(this.#disk, this.#directory, this.#plan.streamId) ?? this.#rebuild()
    return this.#known
  }

  /** The segment that has record `offset`. */
  at(offset: number): SegmentRange | undefined {
    const covers = (range: SegmentRange) => offset >= range.firstOffset && offset < range.nextOffset
    const found = this.all.find(covers)
    if (found !== undefined || this.isManifestStale) return found
    this.#known = this.#rebuild()
    return this.#known.find(covers)
  }

  /** The segment before segment `number`; undefined where nothing tells of it. */
  before(number: number): SegmentRange | undefined {
    return this.all.find(segment => segment.number === number - 1)
  }

  #rebuild(): readonly SegmentRange[] {
    this.isManifestStale = true
    const { streamId, trimPoint, stored } = this.#plan
    return rebuildSealed(this.#disk, this.#directory, { streamId, trimPoint, ...stored }).sealed
  }
}
