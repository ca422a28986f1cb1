import { CRASH, type Sabotage } from './sabotage.ts'

const WRITER = 'src/workers/streams/checkpoint-writer.ts'
const CATALOGUE = 'src/workers/streams/catalogue-file.ts'

/** How segments and catalogue come to hold what the journal frees, and how they are read. */
export const WRITE_BACK: readonly Sabotage[] = [
  {
    what: 'the catalogue is not synced',
    file: CATALOGUE,
    find: 'writeFully(disk, file, entries, position)\n    disk.sync(file)',
    replace: 'writeFully(disk, file, entries, position)',
    tests: [CRASH],
  },
  {
    what: 'the commit that is written again is not synced',
    file: CATALOGUE,
    find: 'if (disk.size(file) > bytes) disk.truncate(file, bytes)\n    disk.sync(file)',
    replace: 'if (disk.size(file) > bytes) disk.truncate(file, bytes)',
    tests: [CRASH],
  },
  {
    what: 'records that may be lost are indexed',
    file: WRITER,
    find: "this.#target = 'records'\n",
    replace: "this.#target = 'records and index'\n",
    tests: [CRASH],
  },
  {
    what: 'a trimmed segment too many is removed',
    file: 'src/workers/streams/trimmed-segments.ts',
    find: 'number !== undefined && number < firstSegment',
    replace: 'number !== undefined && number <= firstSegment',
    tests: [CRASH],
  },
  {
    what: 'a segment does not roll where the appender said',
    file: 'src/workers/streams/segment-writer.ts',
    find: 'if (decodeCheckpointBody(records, record)?.isLastOfSegment !== true) continue',
    replace: 'if (decodeCheckpointBody(records, record) !== null) continue',
    tests: [CRASH],
  },
  {
    what: 'the signature of a checkpoint is not verified',
    file: 'src/workers/streams/checkpoint-check.ts',
    find: 'if (!verifySignature(publicKey, message, body.signature)) return',
    replace: 'if (!verifySignature(publicKey, message, body.signature) && false) return',
    tests: ['workers/streams/'],
  },
  {
    what: 'a checkpoint that counts other records is believed',
    file: 'src/workers/streams/checkpoint-check.ts',
    find: "return body.recordCount === record.offset ? undefined : 'counts other records'",
    replace: 'return undefined',
    tests: ['workers/streams/'],
  },
  {
    what: 'an index page that is not whole is believed',
    file: 'src/workers/streams/offset-index.ts',
    find: "if (entries === undefined || entries.length <= end) return 'damaged'",
    replace: "if (entries === undefined) return 'damaged'",
    tests: ['workers/streams/', CRASH],
  },
]
