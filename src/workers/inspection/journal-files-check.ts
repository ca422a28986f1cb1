import { journalPath, newestPath } from '../../shared/format/paths.ts'
import { PAGE_BYTES } from '../../shared/limits.ts'
import type { Disk } from '../disk/disk.ts'
import { readWhole } from '../disk/files.ts'
import { listJournalFiles, readJournalHeader, readNewest } from '../journal/journal-files.ts'
import { missingFiles } from '../recovery/journal-walk.ts'
import type { Draft } from './draft.ts'

/**
 * Names the damaged and missing journal files of a shard. Returns false if there are any, because
 * the journal cannot be walked then.
 * @param first number of the file that the catalogue's commit names
 * @throws DiskError
 */
export function checkJournalFiles(disk: Disk, shard: number, first: number, draft: Draft): boolean {
  const sizeOf = (file: string) => (disk.exists(file) ? readWhole(disk, file).length : 0)
  const numbers = listJournalFiles(disk, shard).filter(number => number >= first)
  const newest = readNewest(disk, shard)
  if (newest === undefined) {
    const file = newestPath(shard)
    const reason = 'damaged or missing, and so is its second copy: a newer journal file may be lost'
    draft.damage({ file, bytes: [0, sizeOf(file)], reason })
  }
  for (const file of newest?.damaged ?? []) {
    const reason = 'damaged or missing; the next start rewrites it from the other copy'
    draft.note({ file, bytes: [0, sizeOf(file)], reason })
  }
  const missing = missingFiles(numbers, first, newest?.file ?? 0)
  for (const number of missing) {
    draft.damage({ file: journalPath(shard, number), reason: 'the journal file is missing' })
  }
  const damaged = numbers.filter(number => readJournalHeader(disk, shard, number) === undefined)
  for (const number of damaged) {
    const file = journalPath(shard, number)
    const reason = 'the header of the journal file does not check, or is of a newer format'
    draft.damage({ file, bytes: [0, PAGE_BYTES], reason })
  }
  return damaged.length + missing.length === 0
}
