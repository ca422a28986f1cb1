import { assert } from '../../shared/assert.ts'
import { probePath } from '../../shared/format/paths.ts'
import { PAGE_BYTES } from '../../shared/limits.ts'
import { DirectIo, type JournalMemory, Word } from '../../shared/memory/journal-memory.ts'
import { type Disk, DiskError } from './disk.ts'
import { readWhole, withFile, writeZeros } from './files.ts'

// Direct I/O is a matter of the file system, and of each file on it: tried before it is relied on,
// and given up where it is refused later. Nothing but the way that bytes take hangs on it: a block
// counts after its sync, directly written or not.

const REFUSALS: Readonly<Record<string, string>> = {
  EINVAL: 'the file system does not do direct I/O, or not in units of 4 KiB',
  ENOTSUP: 'this system has no direct I/O',
  EOPNOTSUPP: 'the file system does not do direct I/O',
}

/** Whether an error says that direct I/O is not to be had, and not that the disk failed. */
export function refusesDirectIo(error: unknown): error is DiskError {
  return error instanceof DiskError && Object.hasOwn(REFUSALS, error.code)
}

/** What an errno of a probe, or of a refusal, means. */
export function explainDirectIo(error: DiskError): string {
  return REFUSALS[error.code] ?? 'direct I/O could not be tried'
}

/**
 * Decides how the journal of `shard` is written, by writing one page directly where it lies and
 * reading it back. To be called before the flusher starts and the slots are used.
 * @returns why direct I/O does not work; undefined when it does
 */
export function tryDirectIo(
  disk: Disk,
  shard: number,
  { words, slots }: JournalMemory,
): DiskError | undefined {
  const error = probe(disk, probePath(shard), slots[0].subarray(0, PAGE_BYTES))
  Atomics.store(words, Word.directIo, error === undefined ? DirectIo.On : DirectIo.Unavailable)
  return error
}

function probe(disk: Disk, path: string, page: Buffer): DiskError | undefined {
  page.fill('varve')
  const error = diskError(() => writeAndReadBack(disk, path, page))
  const left = diskError(() => removeAny(disk, path))
  page.fill(0)
  return error ?? left
}

function writeAndReadBack(disk: Disk, path: string, page: Buffer): void {
  withFile(disk, path, 'create', file => writeZeros(disk, file, 0, PAGE_BYTES))
  withFile(disk, path, 'direct', file => writePages(disk, file, page, 0))
  if (!readWhole(disk, path).equals(page)) throw new DiskError('EIO', 'read', path)
}

function removeAny(disk: Disk, path: string): void {
  if (disk.exists(path)) disk.remove(path)
}

function diskError(act: () => void): DiskError | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    if (error instanceof DiskError) return error
    throw error
  }
}

/**
 * Writes all of `source`, whole pages to a page boundary, to a file opened 'direct'. A write may
 * end anywhere; the next one starts again with the page in which it ended: it must be aligned too.
 */
export function writePages(disk: Disk, file: number, source: Buffer, position: number): void {
  assert(position % PAGE_BYTES === 0 && source.length % PAGE_BYTES === 0, 'whole pages, at a page')
  for (let done = 0; done < source.length; ) {
    const written = disk.write(file, source.subarray(done), position + done)
    // Less than a page is no progress that could be built on: as if there were no room.
    if (written < PAGE_BYTES) throw new DiskError('ENOSPC', 'write', `file ${file}`)
    done += written - (written % PAGE_BYTES)
  }
}
