// One file of the simulated disk: what is seen of it, what the media hold, and all between.

export const SECTOR_BYTES = 512

export type Inode = {
  /** What the process sees. */
  bytes: Buffer
  size: number
  /** What is on the media. */
  media: Buffer
  mediaSize: number
  /** Contents of each sector since the last sync, oldest first. */
  readonly versions: Map<number, Buffer[]>
  readonly sizes: number[]
}

export function emptyInode(): Inode {
  const nothing = Buffer.alloc(0)
  return {
    bytes: nothing,
    size: 0,
    media: nothing,
    mediaSize: 0,
    versions: new Map(),
    sizes: [],
  }
}

export function noteVersion(inode: Inode, sector: number): void {
  const version = Buffer.alloc(SECTOR_BYTES)
  inode.bytes.copy(version, 0, sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES)
  const versions = inode.versions.get(sector)
  if (versions === undefined) inode.versions.set(sector, [version])
  else versions.push(version)
}

export function persist(inode: Inode): void {
  for (const [sector, versions] of inode.versions) {
    const at = sector * SECTOR_BYTES
    if (at + SECTOR_BYTES > inode.media.length) inode.media = grown(inode.media, at + SECTOR_BYTES)
    versions.at(-1)?.copy(inode.media, at)
  }
  inode.mediaSize = inode.size
  inode.versions.clear()
  inode.sizes.length = 0
}

/** What is seen becomes what the media holds. */
export function restart(inode: Inode): void {
  inode.size = inode.mediaSize
  inode.bytes = Buffer.alloc(inode.mediaSize)
  inode.media.copy(inode.bytes, 0, 0, inode.mediaSize)
  inode.versions.clear()
  inode.sizes.length = 0
}

export function grown(bytes: Buffer, size: number): Buffer {
  const larger = Buffer.alloc(Math.max(size, 2 * bytes.length))
  bytes.copy(larger)
  return larger
}
