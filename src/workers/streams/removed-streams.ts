import { streamIdInName, streamPrefixPath } from '../../shared/format/paths.ts'
import type { Disk } from '../disk/disk.ts'
import { removeTree } from '../disk/files.ts'

/**
 * Removes the directories of deleted streams; only once the commit that removes their entries is
 * durable. A directory goes only when its name carries one of these ids. A crash leaves at most the
 * directories of the last commit's removed entries, and a start removes those again.
 * @param streamIds latin1
 */
export function removeStreams(disk: Disk, streamIds: readonly string[]): void {
  const wanted = new Set(streamIds)
  for (const prefix of new Set(streamIds.map(streamPrefixPath))) {
    if (!disk.exists(prefix)) continue
    const found = disk.list(prefix).filter(name => wanted.has(streamIdInName(name) ?? ''))
    for (const name of found) removeTree(disk, `${prefix}/${name}`)
    if (found.length > 0) disk.syncDirectory(prefix)
  }
}
