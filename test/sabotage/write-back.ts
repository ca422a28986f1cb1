import { CRASH, type Sabotage } from './sabotage.ts'

const WRITER = 'src/workers/streams/checkpoint-writer.ts'
const CATALOGUE = 'src/workers/streams/catalogue-copies.ts'

/** How segments and catalogue come to hold what the journal frees, and how they are read. */
export const WRITE_BACK: readonly Sabotage[] = [
  {
    what: 'the catalogue is not synced',
    file: CATALOGUE,
    find: 'yield { files, directories: [parentPath(path), parentPath(copyPath)] }',
    replace: 'yield { files: [], directories: [parentPath(path), parentPath(copyPath)] }',
    tests: [CRASH],
  },
  {
    what: 'a catalogue that was made smaller is not synced',
    file: CATALOGUE,
    find: 'yield { files, directories: [] }\n    for (const target of paths)',
    replace: 'for (const target of paths)',
    tests: ['workers/streams/catalogue-copies'],
  },
  {
    what: 'segments and manifests are not synced',
    file: WRITER,
    find: '      yield* this.#files.sync()\n      for (const [path',
    replace: '      for (const [path',
    tests: [CRASH],
  },
  {
    what: 'the names of segments and manifests are not synced',
    file: WRITER,
    find: 'yield { files: [], directories: [...this.#directories] }',
    replace: '',
    tests: [CRASH],
  },
  {
    what: 'the name of a new segment is not synced',
    file: WRITER,
    find: 'if (entry.segmentBytes === 0) this.#directories.add(directory)',
    replace: '',
    tests: [CRASH],
  },
  {
    what: 'journal files are freed before the commit that makes them needless',
    file: WRITER,
    find: '    const extents: number[] = []\n',
    replace:
      '    const extents: number[] = []\n' +
      '    freeJournalFiles(this.#disk, this.#shard, job.commit.journalFile)\n',
    tests: [CRASH],
  },
  {
    what: 'a manifest of another stream is believed',
    file: 'src/workers/streams/sealed-segments.ts',
    find: 'return manifest?.streamId === latin1ToHex(streamId) ? manifest.sealed : undefined',
    replace: 'return manifest?.sealed',
    tests: ['workers/streams/'],
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
    tests: ['workers/streams/checkpoint-writer'],
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
    file: 'src/workers/streams/segment-index.ts',
    find: 'if (entries === undefined || entries.length <= end) {',
    replace: 'if (entries === undefined) {',
    tests: ['workers/streams/', CRASH],
  },
]
