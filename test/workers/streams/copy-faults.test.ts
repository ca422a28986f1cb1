import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeCommitEntry } from '../../../src/shared/format/catalogue.ts'
import { GENESIS_HASH } from '../../../src/shared/format/chain.ts'
import {
  catalogueCopyPath,
  cataloguePath,
  COPIES_PATH,
  newestCopyPath,
} from '../../../src/shared/format/paths.ts'
import type { ShardEvent } from '../../../src/shared/protocol/shard.ts'
import { CopyFaults } from '../../../src/workers/disk/copy-faults.ts'
import { type Disk, DiskError } from '../../../src/workers/disk/disk.ts'
import { runSteps } from '../../../src/workers/disk/sync-steps.ts'
import { Announcements } from '../../../src/workers/engine/announcements.ts'
import { recoverShard } from '../../../src/workers/recovery/open-shard.ts'
import {
  appendToCatalogue,
  cutUncommitted,
  readCatalogue,
} from '../../../src/workers/streams/catalogue-copies.ts'
import type { FlatDisk } from '../../support/flat-disk.ts'
import { SMALL_OPTIONS, smallStore, verifyStore } from '../../support/inspected-store.ts'
import { Random } from '../../support/random.ts'
import { Clock } from '../../support/simulated-shard.ts'

const COPY = catalogueCopyPath(0)
const MAIN = cataloguePath(0)

const copies = suite('workers/streams/copy-faults')

for (const operation of ['open', 'write', 'syncDirectory'] as const) {
  copies(`a second copy whose ${operation} fails does not stop the write-back`, () => {
    const { disk } = smallStore()
    const faults = new CopyFaults()
    commit(failing(disk, operation, operation === 'syncDirectory' ? 'open' : operation), faults, 1)
    assert.match(faults.all.join(), new RegExp(`${COPIES_PATH}.*EIO`))
    assert.is(lastLsn(disk), 1e6 + 1)
    commit(failing(disk, 'open', 'open'), faults, 2)
    commit(disk, faults, 3)
    assert.equal(faults.all, [], 'the copy was tried again')
    assert.ok(disk.content(COPY).equals(disk.content(MAIN)))
    assert.is(lastLsn(disk), 1e6 + 3)
  })
}

copies('a second copy whose sync fails is final', () => {
  const { disk } = smallStore()
  assert.throws(
    () => commit(failing(disk, 'sync', 'sync'), new CopyFaults(), 1),
    (error: unknown) => error instanceof DiskError && error.isSync,
  )
})

copies('a try goes on only when what the last one left in a copy is cut', () => {
  const { disk } = smallStore()
  const { bytes } = sound(disk)
  const faults = new CopyFaults()
  const full = overriding(
    disk,
    'syncDirectory',
    path => new DiskError('EMFILE', 'open', String(path)),
  )
  assert.throws(() => commit(full, faults, 1), /EMFILE/)
  assert.ok(disk.content(COPY).length > bytes, 'the copy has the commit')
  const bad = failing(disk, 'open', 'open')
  assert.throws(() => runSteps(bad, cutUncommitted(bad, 0, bytes, faults)), /EIO/)
  runSteps(disk, cutUncommitted(disk, 0, bytes, faults))
  for (const path of [MAIN, COPY]) assert.is(disk.content(path).length, bytes)
})

copies('a start goes on with one copy where the second cannot be written, and names it', () => {
  const { disk } = smallStore()
  disk.remove(COPY)
  const { journal, report, copyFaults } = recover(failing(disk, 'open', 'open'))
  assert.ok(journal !== null)
  assert.equal(report?.rebuilt, [])
  assert.equal(
    copyFaults.map(([path]) => path),
    [COPY, newestCopyPath(0)],
  )
  assert.equal(verifyStore(disk).damages, [])
  const again = recover(disk)
  assert.equal([again.refused, again.copyFaults], [null, []])
  assert.ok(disk.content(COPY).equals(disk.content(MAIN)))
})

copies('a shard that keeps one copy says so until it has two again', () => {
  const events: ShardEvent[] = []
  const news = new Announcements(event => events.push(event))
  news.announceCopies(['open journals/copies: EIO'])
  news.announceCopies([])
  const states = events.filter(({ kind }) => kind === 'state')
  assert.equal(
    states.map(event => (event.kind === 'state' ? event.detail !== '' : undefined)),
    [true, false],
  )
  assert.is(events.filter(({ kind }) => kind === 'log').length, 2)
})

/** Adds a commit to a catalogue. */
function commit(disk: Disk, faults: CopyFaults, number: number): void {
  const { bytes, salt, commit: last } = sound(disk)
  const hash = { blockHash: GENESIS_HASH, blockNumber: last.blockNumber }
  const times = { timestamp: last.timestamp, clockMicros: last.clockMicros }
  const place = { checkpointLsn: 1e6 + number, journalFile: last.journalFile, shard: 0 }
  const entry = encodeCommitEntry({ ...hash, ...times, ...place, entries: 0 })
  const steps = appendToCatalogue(disk, 0, { position: bytes, salt }, [entry], faults)
  runSteps(disk, steps)
}

function lastLsn(disk: Disk): number {
  return sound(disk).commit.checkpointLsn
}

function sound(disk: Disk) {
  const found = readCatalogue(disk, 0)
  assert.ok('live' in found, 'the catalogue is sound')
  return found
}

/** The disk fails one operation for second copies, named in the error as `as`. */
function failing(disk: FlatDisk, operation: keyof FlatDisk, as: string): Disk {
  const names = new Map<number, string>()
  const open = overriding(disk, operation, (target, ...rest) => {
    const path = typeof target === 'number' ? (names.get(target) ?? '') : String(target)
    const isRead = operation === 'open' && rest[0] === 'read'
    if (isRead || !path.startsWith(COPIES_PATH)) return undefined
    return new DiskError('EIO', as, path)
  })
  return overriding(open, 'open', () => undefined, names)
}

/** A disk on which `fail` may fail the calls of one operation. */
function overriding(
  disk: Disk,
  operation: string,
  fail: (...args: unknown[]) => DiskError | undefined,
  names?: Map<number, string>,
): Disk {
  return new Proxy(disk, {
    get: (target, name) => {
      const found: unknown = Reflect.get(target, name, target)
      if (typeof found !== 'function') return found
      return (...args: unknown[]) => {
        const error = name === operation ? fail(...args) : undefined
        if (error !== undefined) throw error
        const result = Reflect.apply(found, target, args) as unknown
        if (name === 'open') names?.set(result as number, String(args[0]))
        return result
      }
    },
  })
}

function recover(disk: Disk) {
  return recoverShard(disk, new Clock().environment(new Random(3)), 0, SMALL_OPTIONS)
}

copies.run()
