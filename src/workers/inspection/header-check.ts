import { HEADER_PATH, INITIALISING_PATH, JOURNALS_PATH } from '../../shared/format/paths.ts'
import { decodeSealedJson } from '../../shared/format/sealed-json.ts'
import type { Finding } from '../../shared/protocol/inspection.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { readWhole } from '../disk/files.ts'
import { DIRECTORY_FORMAT, type DirectoryHeader, otherFormat } from '../recovery/data-directory.ts'

/** The shards of a data directory, or why there is nothing to verify. */
export type Shards =
  | { readonly count: number; readonly damage: Finding | undefined }
  | { readonly refused: string }

/** Reads varve.json; where it is damaged, the shards' own directories say how many there are. */
export function findShards(disk: Disk): Shards {
  if (!disk.exists(HEADER_PATH)) {
    const errno = errnoOf(disk)
    if (errno !== undefined) return { refused: `the data directory cannot be read: ${errno}` }
    const reason = disk.exists(INITIALISING_PATH) ? 'it was never laid out completely' : NO_HEADER
    return { refused: `this is no data directory: ${reason}` }
  }
  const bytes = readWhole(disk, HEADER_PATH)
  const header = decodeSealedJson(bytes) as Partial<DirectoryHeader> | null | undefined
  if (header?.format === DIRECTORY_FORMAT && Number.isSafeInteger(header.shards)) {
    return { count: header.shards as number, damage: undefined }
  }
  if (typeof header?.format === 'number' && header.format !== DIRECTORY_FORMAT) {
    return { refused: otherFormat(header.format) }
  }
  const names = disk.exists(JOURNALS_PATH) ? disk.list(JOURNALS_PATH) : []
  const damage: Finding = {
    file: HEADER_PATH,
    bytes: [0, bytes.length],
    reason: 'it does not check',
    severity: 'damage',
  }
  return { count: names.filter(name => /^shard-\d+$/.test(name)).length, damage }
}

/** Why the directory cannot be listed; undefined: it can. */
function errnoOf(disk: Disk): string | undefined {
  try {
    disk.list('')
    return undefined
  } catch (error) {
    if (error instanceof DiskError) return error.code
    throw error
  }
}

const NO_HEADER = `it has no ${HEADER_PATH}`
