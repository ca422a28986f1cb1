import { CRASH, DIRECT, type Sabotage } from './sabotage.ts'

const BLOCK_WRITER = 'src/workers/journal/block-writer.ts'
const LOG_BUFFER = 'src/workers/journal/log-buffer.ts'
const JOURNAL_FILES = 'src/workers/journal/journal-files.ts'
const FILES = 'src/workers/disk/files.ts'

/** How blocks reach the disk. */
export const JOURNAL: readonly Sabotage[] = [
  {
    what: 'a block is not synced',
    file: BLOCK_WRITER,
    find: '    this.#disk.sync(file) // orders',
    replace: '    // orders',
    tests: [CRASH],
  },
  {
    what: 'a sync that failed for space is tried again',
    file: BLOCK_WRITER,
    find: 'if (error.isSync) return false',
    replace: 'if (error.isSync && !error.isForSpace) return false',
    tests: ['workers/journal/', 'integrity/disk-faults'],
  },
  {
    what: 'a failed write or sync is ignored',
    file: BLOCK_WRITER,
    find: '      return this.#fail(error)',
    replace: '      void this.#fail',
    tests: ['integrity/disk-faults'],
  },
  {
    what: 'the flusher does not wake whoever waits for a flush',
    file: BLOCK_WRITER,
    find: '    this.#slot = 1 - this.#slot\n    ring(words, Word.flushed)',
    replace: '    this.#slot = 1 - this.#slot',
    tests: ['workers/journal/'],
  },
  {
    what: 'a block that changed after it was sealed is written',
    file: BLOCK_WRITER,
    find: 'header !== undefined && blockBodyChecks(block, 0, header),',
    replace: 'header !== undefined && blockBodyChecks !== undefined,',
    tests: ['workers/journal/'],
  },
  {
    what: 'sealing a slot does not wake the flusher',
    file: LOG_BUFFER,
    find: '    ring(words, Word.sealed)\n    this.#slot = 1 - this.#slot',
    replace: '    this.#slot = 1 - this.#slot',
    tests: ['workers/journal/'],
  },
  {
    what: 'a block names another as the one before it',
    file: LOG_BUFFER,
    find: 'previousHash: this.#last.hash,',
    replace: 'previousHash: this.#durable.hash,',
    tests: [CRASH],
  },
  {
    what: 'a block vouches for one that is not durable',
    file: LOG_BUFFER,
    find: 'durableThrough: this.#durable.number,',
    replace: 'durableThrough: this.#last.number,',
    tests: [CRASH],
  },
  {
    what: 'what is sealed counts as durable',
    file: LOG_BUFFER,
    find: 'if (!hasReached(pages, (mark.endLsn / PAGE_BYTES) | 0)) break',
    replace: 'void pages',
    tests: [CRASH],
  },
  {
    what: 'a block goes to a next file that a larger one is about to replace',
    file: LOG_BUFFER,
    find: '= this.#next === undefined || this.#next.capacity < this.#capacityWanted',
    replace: '= this.#next === undefined',
    tests: [DIRECT, 'integrity/oversize'],
  },
  {
    what: 'the header of a journal file is not synced before the file is used',
    file: JOURNAL_FILES,
    find: 'writeFully(disk, file, encodeJournalHeader(header), 0)\n    disk.sync(file)',
    replace: 'writeFully(disk, file, encodeJournalHeader(header), 0)',
    tests: [CRASH, DIRECT],
  },
  {
    what: 'the name of a journal file is not synced before the file is used',
    file: JOURNAL_FILES,
    find: 'journalPath(header.shard, header.number))\n  disk.syncDirectory(directory)',
    replace: 'journalPath(header.shard, header.number))',
    tests: [CRASH, DIRECT],
  },
  {
    what: 'a journal file is freed that is still needed',
    file: JOURNAL_FILES,
    find: '.filter(file => file < number)',
    replace: '.filter(file => file <= number)',
    tests: [CRASH],
  },
  {
    what: 'a short write counts as a whole one',
    file: FILES,
    find: 'let done = 0\n  while (done < source.length) {',
    replace: 'let done = 0\n  if (done < source.length) {',
    tests: [CRASH],
  },
  {
    what: 'a file that replaces another is not synced',
    file: FILES,
    find: 'writeFully(disk, file, content, 0)\n    disk.sync(file)',
    replace: 'writeFully(disk, file, content, 0)',
    tests: [CRASH],
  },
  {
    what: 'the name of a file that replaces another is not synced',
    file: FILES,
    find: 'disk.rename(temporary, path))\n  disk.syncDirectory(parentPath(path))',
    replace: 'disk.rename(temporary, path))',
    tests: [CRASH],
  },
  {
    what: 'the name of a new directory is not synced',
    file: FILES,
    find: 'disk.makeDirectory(path)\n  disk.syncDirectory(parent)',
    replace: 'disk.makeDirectory(path)',
    tests: ['workers/disk/directories'],
  },
  {
    what: 'durable LSNs are compared as if they did not wrap',
    file: 'src/shared/memory/journal-memory.ts',
    find: 'return ((durablePages - pages) | 0) >= 0',
    replace: 'return durablePages >= pages',
    tests: ['shared/memory/', 'model/slot-interleavings'],
  },
]
