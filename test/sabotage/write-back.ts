import { CRASH, type Sabotage } from './sabotage.ts'

const WRITER = 'src/workers/streams/stream-writer.ts'
const COMMIT = 'src/workers/streams/checkpoint-writer.ts'
const UNWRITTEN = 'workers/engine/unwritten-streams'
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
    find: 'yield { files: [], directories: [...this.#directories.keys()] }',
    replace: '',
    tests: [CRASH],
  },
  {
    what: 'the name of a new segment is not synced',
    file: WRITER,
    find: 'if (entry.segmentBytes === 0) this.#syncLater(directory, stream)',
    replace: '',
    tests: [CRASH],
  },
  {
    what: 'journal files are freed before the commit that makes them needless',
    file: COMMIT,
    find: '    const unwritten = new Map<number, WriteFault>()\n',
    replace:
      '    const unwritten = new Map<number, WriteFault>()\n' +
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
    file: COMMIT,
    find: "new StreamWriter(this.#disk, 'records')",
    replace: "new StreamWriter(this.#disk, 'records and index')",
    tests: ['workers/streams/checkpoint-writer'],
  },
  {
    what: 'a stream that cannot be written holds the whole write-back up',
    file: WRITER,
    find: 'if (!this.#isOfOneStream(failure, reserveBytes + 2 * bytes)) throw error',
    replace: 'throw error',
    tests: [UNWRITTEN],
  },
  {
    what: 'the frames that could not be written do not go into the catalogue',
    file: 'src/workers/streams/stored-stream.ts',
    find: 'unwritten: encodeUnwritten(entry.streamId, frames, entry.chainHead) }',
    replace: 'unwritten: new Uint8Array(0) }',
    tests: [UNWRITTEN],
  },
  {
    what: 'unwritten records stay in memory that the write-back frees',
    file: 'src/workers/engine/journal-checkpoint.ts',
    find: '    log.keepFrames(endLsn)\n',
    replace: '',
    tests: [UNWRITTEN],
  },
  {
    what: 'a stream that cannot be written takes appends',
    file: 'src/workers/engine/appender.ts',
    find: '    if (found !== undefined) checkWritable(found)\n',
    replace: '',
    tests: [UNWRITTEN],
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
