import { hexToLatin1 } from '../../shared/format/bytes.ts'
import { decodeManifest } from '../../shared/format/manifest.ts'
import { manifestPath, parentPath, STREAMS_PATH, streamPath } from '../../shared/format/paths.ts'
import { isDirectory } from '../disk/aside.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { makeDirectories, readIfReadable } from '../disk/files.ts'

/** A directory that bears the name of another stream than its manifest. */
export type Misplaced = { readonly path: string; readonly stream: string; readonly home: string }

/** Ends the name of a directory that is being moved. An interrupted repair finds it again. */
const ON_ITS_WAY = '.putback'

/**
 * Finds directories of streams that lie in each other's places, by their manifests. One whose own
 * place is taken by a directory that is at home there is not among them.
 */
export function findMisplaced(disk: Disk): readonly Misplaced[] {
  const paths = listed(disk, STREAMS_PATH).flatMap(prefix => listed(disk, prefix))
  const found = paths.flatMap(path => misplacedAt(disk, path))
  const away = new Set(found.map(({ path }) => path))
  return found.filter(({ home }) => away.has(home) || !disk.exists(home))
}

function misplacedAt(disk: Disk, path: string): Misplaced[] {
  const bytes = readIfReadable(disk, manifestPath(path))
  const manifest = bytes && decodeManifest(bytes)
  if (manifest === undefined) return []
  const { stream, streamId } = manifest
  const home = streamPath(stream, hexToLatin1(streamId))
  return home === path ? [] : [{ path, stream, home }]
}

/**
 * Moves each directory to its own place, durably. All leave their places before the first one is
 * moved in. @throws DiskError
 */
export function putBack(disk: Disk, all: readonly Misplaced[]): void {
  for (const { path, home } of all) {
    makeDirectories(disk, parentPath(home))
    if (path !== home + ON_ITS_WAY) move(disk, path, home + ON_ITS_WAY)
  }
  for (const { home } of all) {
    if (!disk.exists(home)) move(disk, home + ON_ITS_WAY, home)
  }
}

function move(disk: Disk, from: string, to: string): void {
  disk.rename(from, to)
  disk.syncDirectory(parentPath(to))
  disk.syncDirectory(parentPath(from))
}

/** Paths in a directory; none where it is not one, or cannot be read. */
function listed(disk: Disk, directory: string): string[] {
  try {
    if (!isDirectory(disk, directory)) return []
    return disk.list(directory).map(name => `${directory}/${name}`)
  } catch (error) {
    if (!(error instanceof DiskError) || error.isForSpace) throw error
    return []
  }
}
