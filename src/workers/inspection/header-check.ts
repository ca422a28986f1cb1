import { StoreError } from '../../shared/errors.ts'
import { HEADER_PATH, INITIALISING_PATH, JOURNALS_PATH } from '../../shared/format/paths.ts'
import type { Finding } from '../../shared/protocol/inspection.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { readIfReadable } from '../disk/files.ts'
import { hasHeader, readStoredHeader } from '../recovery/directory-header.ts'

/** The shards of a data directory, or why there is nothing to verify. */
export type Shards =
  | { readonly count: number; readonly findings: readonly Finding[] }
  | { readonly refused: string }

/** Reads varve.json or its copy. If both are damaged, counts the directories of shards. */
export function findShards(disk: Disk): Shards {
  if (!hasHeader(disk)) {
    const errno = errnoOf(disk)
    if (errno !== undefined) return { refused: `the data directory cannot be read: ${errno}` }
    const reason = disk.exists(INITIALISING_PATH) ? 'it was never laid out completely' : NO_HEADER
    return { refused: `this is no data directory: ${reason}` }
  }
  try {
    const { header, stale } = readStoredHeader(disk)
    return { count: header.shards, findings: stale.map(file => staleFinding(disk, file)) }
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    if (error.fields['foundFormat'] !== undefined) return { refused: error.message }
    const names = disk.exists(JOURNALS_PATH) ? disk.list(JOURNALS_PATH) : []
    const reason = 'it is damaged, and so is its copy'
    return {
      count: names.filter(name => /^shard-\d+$/.test(name)).length,
      findings: [{ file: HEADER_PATH, reason, severity: 'damage' }],
    }
  }
}

function staleFinding(disk: Disk, file: string): Finding {
  const note = { file, reason: STALE, severity: 'note' as const }
  const bytes = readIfReadable(disk, file)
  return bytes === undefined ? note : { ...note, bytes: [0, bytes.length] }
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
const STALE = 'damaged, missing or behind; the next start rewrites it from the other copy'
