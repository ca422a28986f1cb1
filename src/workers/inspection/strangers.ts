import {
  catalogueCopyPath,
  COPIES_PATH,
  HEADER_COPY_PATH,
  HEADER_PATH,
  INITIALISING_PATH,
  journalNumber,
  JOURNALS_PATH,
  KEYS_PATH,
  keyIdInName,
  LOCK_PATH,
  LOSSES_PATH,
  newestCopyPath,
  QUARANTINE_PATH,
  shardPath,
  STREAMS_PATH,
} from '../../shared/format/paths.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import type { Draft } from './draft.ts'

/** Notes what lies in a data directory without belonging to it, and what recovery has set aside. */
export function noteStrangers(
  disk: Disk,
  shards: number,
  /** Of all streams, of all shards. */
  directories: ReadonlySet<string>,
  draft: Draft,
): void {
  const ours = [
    HEADER_PATH,
    HEADER_COPY_PATH,
    INITIALISING_PATH,
    LOCK_PATH,
    JOURNALS_PATH,
    QUARANTINE_PATH,
  ]
  const kept = [...ours, STREAMS_PATH, KEYS_PATH, LOSSES_PATH]
  noteOthers(disk, '', path => kept.includes(path), NOT_OURS, draft)
  noteOthers(disk, KEYS_PATH, isOfKeys, NOT_OURS, draft)
  const journals = Array.from({ length: shards }, (_, shard) => shardPath(shard))
  const copies = journals.flatMap((_, shard) => [newestCopyPath(shard), catalogueCopyPath(shard)])
  const isCopy = (path: string) => copies.includes(path.replace(/\.tmp$/, ''))
  noteOthers(
    disk,
    JOURNALS_PATH,
    path => [...journals, COPIES_PATH].includes(path),
    NOT_OURS,
    draft,
  )
  noteOthers(disk, COPIES_PATH, isCopy, NOT_OURS, draft)
  for (const path of journals) noteOthers(disk, path, isOfJournal, NOT_OURS, draft)
  for (const prefix of listed(disk, STREAMS_PATH)) {
    noteOthers(disk, prefix, path => directories.has(path), NO_STREAM, draft)
  }
  noteOthers(disk, QUARANTINE_PATH, () => false, SET_ASIDE, draft)
}

const NOT_OURS = 'not a file of this data directory'
const NO_STREAM =
  'of no stream that a catalogue names: of a checkpoint without a commit, or put there'
const SET_ASIDE = 'an unfinished block that recovery cut, or what a repair replaced; kept'

function isOfKeys(path: string): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1).replace(/\.tmp$/, '')
  return name === 'signing.pem' || keyIdInName(name) !== undefined
}

function isOfJournal(path: string): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1)
  const isFile = journalNumber(name) !== undefined || /^\d{12}\.spare$/.test(name)
  return (
    isFile ||
    [
      'catalogue',
      'catalogue.tmp',
      'newest.json',
      'newest.json.tmp',
      'prepared.tmp',
      'probe.tmp',
    ].includes(name)
  )
}

function noteOthers(
  disk: Disk,
  directory: string,
  isOurs: (path: string) => boolean,
  reason: string,
  draft: Draft,
): void {
  for (const file of listed(disk, directory)) if (!isOurs(file)) draft.note({ file, reason })
}

/** Paths in a directory; none where it is not one. */
function listed(disk: Disk, directory: string): string[] {
  try {
    return disk.list(directory).map(name => (directory === '' ? name : `${directory}/${name}`))
  } catch (error) {
    if (error instanceof DiskError && ['ENOENT', 'ENOTDIR'].includes(error.code)) return []
    throw error
  }
}
