import { CRASH, DIRECT, type Sabotage } from './sabotage.ts'

const OPEN = 'src/workers/recovery/open-shard.ts'
const WALK = 'src/workers/recovery/journal-walk.ts'
const REPLAY = 'src/workers/recovery/replay.ts'
const DIRECTORY = 'src/workers/recovery/data-directory.ts'
const WALK_TESTS = ['workers/recovery/journal-walk', 'workers/recovery/']

/** What a start believes, and what it makes durable again. */
export const RECOVERY: readonly Sabotage[] = [
  {
    what: 'blocks known from the page cache alone are not written again',
    file: OPEN,
    find: '    writeAgain(this.#disk, this.#shard, this.#found.unvouched)\n',
    replace: '',
    tests: [CRASH],
  },
  {
    what: 'blocks are written again, and not synced',
    file: OPEN,
    find: 'writeFully(disk, file, bytes, position)\n      disk.sync(file)',
    replace: 'writeFully(disk, file, bytes, position)',
    tests: ['integrity/page-cache', CRASH],
  },
  {
    what: 'the last commit of the catalogue is not written again',
    file: OPEN,
    find: '    settleCatalogue(this.#disk, this.#known)\n',
    replace: '',
    tests: [CRASH],
  },
  {
    what: 'a journal that lacks what was durable is opened',
    file: OPEN,
    find: "if (end.decision === 'refuse') {",
    replace: 'if (end.decision !== end.decision) {',
    tests: ['workers/recovery/'],
  },
  {
    what: 'a block with another salt is accepted',
    file: WALK,
    find: '      header.salt === file.salt &&\n',
    replace: '',
    tests: WALK_TESTS,
  },
  {
    what: 'a block of another epoch is accepted',
    file: WALK,
    find: '      header.epoch === file.epoch &&\n',
    replace: '',
    tests: WALK_TESTS,
  },
  {
    what: 'a block that names another before it is accepted',
    file: WALK,
    find: '      header.previousHash === this.#last.hash &&\n',
    replace: '',
    tests: WALK_TESTS,
  },
  {
    what: 'a block that lies elsewhere than it says is accepted',
    file: WALK,
    find: '      header.lsn === file.firstLsn + position - PAGE_BYTES &&\n',
    replace: '',
    tests: WALK_TESTS,
  },
  {
    what: 'a block whose body does not check is accepted',
    file: WALK,
    find: 'blockBodyChecks(bytes, position, header)\n    return',
    replace: 'blockBodyChecks !== undefined\n    return',
    tests: WALK_TESTS,
  },
  {
    what: 'the witness in a later block is ignored',
    file: WALK,
    find: 'if (this.#durableThrough >= expected) return true',
    replace: 'if (expected < 0) return true',
    tests: WALK_TESTS,
  },
  {
    what: 'a later block proves nothing',
    file: WALK,
    find: 'if (header.number > expected || header.durableThrough >= expected) return true',
    replace: 'if (header.number < 0) return true',
    tests: WALK_TESTS,
  },
  {
    what: 'zeros where a durable block was are the end',
    file: 'src/workers/recovery/decision.ts',
    find: "'zeros':       { vouched: 'refuse', unvouched: 'end' },",
    replace: "'zeros':       { vouched: 'end', unvouched: 'end' },",
    tests: WALK_TESTS,
  },
  {
    what: 'a torn last block is refused',
    file: 'src/workers/recovery/decision.ts',
    find: "'torn':        { vouched: 'refuse', unvouched: 'cut' },",
    replace: "'torn':        { vouched: 'refuse', unvouched: 'refuse' },",
    tests: WALK_TESTS,
  },
  {
    what: 'a gap between the offsets of two appends is passed over',
    file: REPLAY,
    find: 'if (append.firstOffset !== log.nextOffset) {',
    replace: 'if (append.firstOffset < 0) {',
    tests: WALK_TESTS,
  },
  {
    what: 'a reference to a segment is replayed without its producer',
    file: REPLAY,
    find: 'const producer = reference.producer && log.nextProducer(reference.producer, result)',
    replace: 'const producer = undefined',
    tests: ['workers/recovery/replay'],
  },
  {
    what: 'a header known from the page cache alone is believed',
    file: DIRECTORY,
    find: "case 'open':\n      mendHeader(disk, stored)",
    replace: "case 'open':",
    tests: ['workers/recovery/data-directory'],
  },
  {
    what: 'the second rename of a change of the shard count is not synced',
    file: 'src/workers/recovery/shard-move.ts',
    find: "disk.rename(JOURNALS_NEXT_PATH, JOURNALS_PATH)\n  disk.syncDirectory('')",
    replace: 'disk.rename(JOURNALS_NEXT_PATH, JOURNALS_PATH)',
    tests: ['workers/recovery/shard-move'],
  },
  {
    what: 'a removal that a killed process did not sync is never synced',
    file: 'src/workers/streams/removal.ts',
    find: '      this.#changed.add(directory)\n      for (const name',
    replace: '      for (const name',
    tests: ['workers/streams/removal'],
  },
  {
    what: 'a public key is not durable before anything is signed',
    file: 'src/workers/streams/key-files.ts',
    find: '  registerPublicKey(disk, signer)\n  disk.rename(PENDING_PATH',
    replace: '  disk.rename(PENDING_PATH',
    tests: ['workers/streams/key-files', DIRECT],
  },
  {
    what: 'a store that lost its keys gets a new identity in silence',
    file: 'src/workers/streams/key-files.ts',
    find: '  if (wasServed(disk)) {',
    replace: '  if (wasServed(disk) && disk.freeBytes() < 0) {',
    tests: ['workers/streams/key-files'],
  },
]
