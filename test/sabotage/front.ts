import { type Sabotage, TRANSACTIONS } from './sabotage.ts'

const SHARDS = 'src/main/shards/'

/** What the front end answers, and whom it lets in. */
export const FRONT: readonly Sabotage[] = [
  {
    what: 'an append is answered without waiting for the disk',
    file: `${SHARDS}durable-waits.ts`,
    find: 'if (this.hasReached(pages)) return release()',
    replace: 'if (this.hasReached(pages) || refuse !== undefined) return release()',
    tests: ['main/shards/'],
  },
  {
    what: 'what was on its way when its shard failed is answered as durable',
    file: `${SHARDS}durable-waits.ts`,
    find: 'if (isDurable) wait.release()',
    replace: 'if (isDurable || isOver) wait.release()',
    tests: ['main/shards/'],
  },
  {
    what: 'a failed shard leaves its clients waiting',
    file: `${SHARDS}durable-waits.ts`,
    find: 'if (!isDurable && !isOver) return',
    replace: 'if (!isDurable) return',
    tests: ['main/shards/'],
  },
  {
    what: 'a flush between looking and waiting is missed',
    file: `${SHARDS}durable-waits.ts`,
    find: 'await whenChanged(words, Word.flushed, seen)',
    replace:
      'await whenChanged(words, Word.flushed, seen - seen + Atomics.load(words, Word.flushed))',
    tests: ['main/shards/durable-waits'],
  },
  {
    what: 'a transaction is aborted where its journal could not be asked',
    file: `${SHARDS}transactions.ts`,
    find: "return coordinator.isOpen ? 'abort' : 'unknown'",
    replace: "return 'abort'",
    tests: ['main/shards/transactions', TRANSACTIONS],
  },
  {
    what: 'a decision is forgotten before every shard has heard it',
    file: `${SHARDS}transactions.ts`,
    find: 'if (ends.every(isEnded => isEnded)) return coordinator.forget(id)',
    replace: 'if (ends.length >= 0) return coordinator.forget(id)',
    tests: ['main/shards/transactions', TRANSACTIONS],
  },
  {
    what: 'what is in doubt is resolved as aborted, whatever was decided',
    file: `${SHARDS}transactions.ts`,
    find: "if (coordinator.decisions.has(id)) return 'commit'",
    replace: '',
    tests: [TRANSACTIONS, 'main/shards/transactions'],
  },
  {
    what: 'a subscriber that does not read is sent more and more',
    file: 'src/main/tail/subscription.ts',
    find: 'sink.bufferedBytes + message.length <= SUBSCRIBER_BYTES_MAX',
    replace: 'sink.bufferedBytes <= Number.POSITIVE_INFINITY',
    tests: ['main/tail/'],
  },
  {
    what: 'a subscriber skips what came while it caught up',
    file: 'src/main/tail/subscription.ts',
    find: 'if (this.#position >= feed.position) return this.#becomeLive()',
    replace: 'if (this.#saidLive || this.#position >= feed.position) return this.#becomeLive()',
    tests: ['main/tail/'],
  },
  {
    what: 'a second process may have the directory too',
    file: 'src/main/directory-lock.ts',
    find: "if (attempt(data, 'locked', () => tryLock(file, LOCKED_AT, 1))) return",
    replace: "if (attempt(data, 'locked', () => tryLock(file, LOCKED_AT, 1)) || true) return",
    tests: ['main/directory-lock'],
  },
  {
    what: 'a lock file that is removed lets a second process in',
    file: 'src/main/directory-lock.ts',
    find: 'if (names.includes(HEADER_PATH) && isFile(join(data, HEADER_PATH))) {',
    replace: 'if (names.length < 0 && isFile(join(data, HEADER_PATH))) {',
    tests: ['main/directory-lock'],
  },
  {
    what: 'a line that is no JSON is stored as JSON',
    file: 'src/main/http/append-body.ts',
    find: 'if (!isJson(body, start, end)) throw',
    replace: 'if (start > end) throw',
    tests: ['main/http/json-bytes', 'main/http/append'],
  },
  {
    what: 'brackets of the wrong kind end an array',
    file: 'src/main/http/json-reader.ts',
    find: '} else if (byte === closing(isObject)) {',
    replace: '} else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) {',
    tests: ['main/http/json-reader'],
  },
  {
    what: 'of records given twice the first ones stay',
    file: 'src/main/http/append-body.ts',
    find: 'encoded = encodeJsonRecords(body, reader, limits, batch)',
    replace: 'encoded ??= encodeJsonRecords(body, reader, limits, batch)',
    tests: ['main/http/json-bytes'],
  },
]
