import { hexToLatin1 } from '../../shared/format/bytes.ts'
import { decodeManifest } from '../../shared/format/manifest.ts'
import { manifestPath, parentPath, STREAMS_PATH, streamPath } from '../../shared/format/paths.ts'
import { isDirectory } from '../disk/aside.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { makeDirectories, readIfReadable } from '../disk/files.ts'

/** A stream directory whose name does not match the stream in its manifest. */
export type Misplaced = {
  readonly path: string
  readonly stream: string
  /** The path that the manifest's stream should have. */
  readonly home: string
}

/** Suffix of a directory that is being moved. The next repair finds it by its manifest. */
const MOVING_SUFFIX = '.putback'

/**
 * Finds stream directories that lie in each other's places, by their manifests. Leaves out a
 * directory whose own place holds a directory that belongs there.
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
 * Moves each directory to its own place, durably. Every directory is first renamed with a suffix,
 * so that the places are free. @throws DiskError
 */
export function putBack(disk: Disk, all: readonly Misplaced[]): void {
  for (const { path, home } of all) {
    makeDirectories(disk, parentPath(home))
    if (path !== home + MOVING_SUFFIX) move(disk, path, home + MOVING_SUFFIX)
  }
  for (const { home } of all) {
    if (!disk.exists(home)) move(disk, home + MOVING_SUFFIX, home)
  }
}

function move(disk: Disk, from: string, to: string): void {
  disk.rename(from, to)
  disk.syncDirectory(parentPath(to))
  disk.syncDirectory(parentPath(from))
}

/** Returns the paths in a directory; none if it is not a directory or cannot be read. */
function listed(disk: Disk, directory: string): string[] {
  try {
    if (!isDirectory(disk, directory)) return []
    return disk.list(directory).map(name => `${directory}/${name}`)
  } catch (error) {
    if (!(error instanceof DiskError) || error.isForSpace) throw error
    return []
  }
}
