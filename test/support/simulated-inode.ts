import { assert } from '../../src/shared/assert.ts'
import { PAGE_BYTES } from '../../src/shared/limits.ts'

// One file of the simulated disk: what is seen of it, what the media hold, and all between.

export const SECTOR_BYTES = 512

/** Sectors as one write left them. */
type SectorWrite = { readonly firstSector: number; readonly content: Buffer }

export type Inode = {
  /** What the process sees. */
  bytes: Buffer
  size: number
  /** What is on the media. */
  media: Buffer
  mediaSize: number
  /** What was written since the last sync, oldest first, in whole sectors. */
  readonly writes: SectorWrite[]
  readonly sizes: number[]
}

export function emptyInode(): Inode {
  const nothing = Buffer.alloc(0)
  return {
    bytes: nothing,
    size: 0,
    media: nothing,
    mediaSize: 0,
    writes: [],
    sizes: [],
  }
}

/** Notes that the bytes in [from, to) have changed, `to` not being beyond the allocated ones. */
export function noteWrite(inode: Inode, from: number, to: number): void {
  if (to <= from) return
  const firstSector = Math.floor(from / SECTOR_BYTES)
  const at = firstSector * SECTOR_BYTES
  const content = Buffer.alloc(Math.ceil(to / SECTOR_BYTES) * SECTOR_BYTES - at)
  inode.bytes.copy(content, 0, at, at + content.length)
  inode.writes.push({ firstSector, content })
}

/** The contents that each sector has had since the last sync, oldest first. */
export function sectorVersions({ writes }: Inode): ReadonlyMap<number, readonly Buffer[]> {
  const versions = new Map<number, Buffer[]>()
  for (const { firstSector, content } of writes) {
    for (let at = 0; at < content.length; at += SECTOR_BYTES) {
      const sector = firstSector + at / SECTOR_BYTES
      const version = content.subarray(at, at + SECTOR_BYTES)
      const known = versions.get(sector)
      if (known === undefined) versions.set(sector, [version])
      else known.push(version)
    }
  }
  return versions
}

export function persist(inode: Inode): void {
  for (const { firstSector, content } of inode.writes) {
    const at = firstSector * SECTOR_BYTES
    if (at + content.length > inode.media.length) {
      inode.media = grown(inode.media, at + content.length)
    }
    content.copy(inode.media, at)
  }
  inode.mediaSize = inode.size
  forgetUnsynced(inode)
}

/** Forgets what was not synced, as a failed sync does. */
export function forgetUnsynced(inode: Inode): void {
  inode.writes.length = 0
  inode.sizes.length = 0
}

/** What is seen becomes what the media holds. */
export function restart(inode: Inode): void {
  inode.size = inode.mediaSize
  inode.bytes = Buffer.alloc(inode.mediaSize)
  inode.media.copy(inode.bytes, 0, 0, inode.mediaSize)
  forgetUnsynced(inode)
}

export function grown(bytes: Buffer, size: number): Buffer {
  const larger = Buffer.alloc(Math.max(size, 2 * bytes.length))
  bytes.copy(larger)
  return larger
}

/** What a real disk answers with EINVAL; the memory's address cannot be known, its kind can. */
export function assertAligned(source: Buffer, position: number): void {
  const numbers = [position, source.length, source.byteOffset]
  assert(
    numbers.every(number => number % PAGE_BYTES === 0),
    'a direct write is aligned',
  )
  assert(source.buffer instanceof SharedArrayBuffer, 'a direct write is from aligned memory')
}
