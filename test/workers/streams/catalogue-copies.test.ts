import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  encodeCommitEntry,
  encodeDecisionEntry,
  placeEntries,
} from '../../../src/shared/format/catalogue.ts'
import { GENESIS_HASH } from '../../../src/shared/format/chain.ts'
import { catalogueCopyPath, cataloguePath, parentPath } from '../../../src/shared/format/paths.ts'
import { MIB } from '../../../src/shared/limits.ts'
import { CopyFaults } from '../../../src/workers/disk/copy-faults.ts'
import { makeDirectories, replaceFile } from '../../../src/workers/disk/files.ts'
import { runSteps } from '../../../src/workers/disk/sync-steps.ts'
import {
  appendToCatalogue,
  compactCatalogue,
  cutUncommitted,
  readCatalogue,
} from '../../../src/workers/streams/catalogue-copies.ts'
import { CATALOGUE_SALT } from '../../support/entry-samples.ts'
import { Random } from '../../support/random.ts'
import { Crash, SimulatedDisk } from '../../support/simulated-disk.ts'

const SEEDS = 40
/** More than making a catalogue smaller takes. */
const OPERATIONS_MAX = 12
const LARGE = largeCatalogue()
const NOTHING = { streams: 0, unwrittenBytes: 0 }
const PATHS = [cataloguePath(0), catalogueCopyPath(0)]

const copies = suite('workers/streams/catalogue-copies')

copies('a catalogue that holds mostly what counts no more is made smaller', () => {
  const disk = diskWith(LARGE.bytes, 1)
  const { bytes, notes } = runSteps(
    disk,
    compactCatalogue(disk, 0, LARGE.bytes.length, NOTHING, new CopyFaults()),
  )
  assert.ok(bytes < 1000 && notes.length === 0, `${bytes} bytes, ${notes.join()}`)
  for (const path of PATHS) assert.is(disk.content(path).length, bytes)
  assert.is(lastLsn(disk), LARGE.commits)
})

copies('a catalogue whose second copy cannot be written does not grow without bound', () => {
  const disk = diskWith(LARGE.bytes, 1)
  const [path, copyPath] = PATHS as [string, string]
  const faults = new CopyFaults([[copyPath, 'open: EIO']])
  const { bytes } = runSteps(disk, compactCatalogue(disk, 0, LARGE.bytes.length, NOTHING, faults))
  assert.ok(bytes < 1000, `${bytes} bytes`)
  assert.equal(
    [path, copyPath].map(one => disk.content(one).length),
    [bytes, LARGE.bytes.length],
  )
  assert.is(lastLsn(disk), LARGE.commits)
  runSteps(disk, cutUncommitted(disk, 0, bytes, faults))
  assert.is(disk.content(copyPath).length, LARGE.bytes.length, 'it is whole until it is made anew')
  disk.remove(path)
  const place = { position: bytes, salt: CATALOGUE_SALT }
  assert.throws(() => runSteps(disk, appendToCatalogue(disk, 0, place, [], faults)), /EIO/)
})

copies('entries of a copy from before the other one was made smaller do not fill its gaps', () => {
  const disk = diskWith(decidedAt(1), 1)
  const next = decidedAt(2)
  next.writeUInt8(next.readUInt8(34) ^ 1, 34)
  replaceFile(disk, cataloguePath(0), next)
  assert.is(lastLsn(disk), 1)
})

copies('a crash at any operation of making it smaller leaves its last commit', () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const disk = diskWith(LARGE.bytes, seed)
    disk.crashAt = disk.operations + (seed % OPERATIONS_MAX)
    try {
      runSteps(disk, compactCatalogue(disk, 0, LARGE.bytes.length, NOTHING, new CopyFaults()))
    } catch (error) {
      if (!(error instanceof Crash)) throw error
    }
    disk.cutPower()
    assert.is(lastLsn(disk), LARGE.commits, `seed ${seed}`)
  }
})

copies('the catalogue of another shard in the place of a copy is not believed', () => {
  const own = catalogueAt(3, 0)
  const foreign = catalogueAt(9, 1)
  for (const swapped of PATHS) {
    const disk = diskWith(own, 1)
    replaceFile(disk, swapped, foreign)
    assert.is(lastLsn(disk), 3, `${swapped} is of another shard`)
    const read = readCatalogue(disk, 0)
    assert.is('live' in read && read.stale, swapped)
  }
})

function lastLsn(disk: SimulatedDisk): number {
  const read = readCatalogue(disk, 0)
  assert.ok('live' in read, 'the catalogue is sound')
  return read.commit.checkpointLsn
}

function diskWith(bytes: Buffer, seed: number): SimulatedDisk {
  const disk = new SimulatedDisk(new Random(seed))
  for (const path of PATHS) {
    makeDirectories(disk, parentPath(path))
    replaceFile(disk, path, bytes)
  }
  return disk
}

/** A catalogue with one commit. */
function catalogueAt(checkpointLsn: number, shard: number): Buffer {
  const place = { journalFile: 1, blockNumber: 1, blockHash: GENESIS_HASH }
  const times = { timestamp: checkpointLsn, clockMicros: 1 }
  const commit = encodeCommitEntry({ ...place, ...times, checkpointLsn, entries: 0, shard })
  return placeEntries([commit], { salt: CATALOGUE_SALT, position: 0 })
}

/** A catalogue with one commit and a decision of that number. */
function decidedAt(number: number): Buffer {
  const place = { journalFile: 1, blockNumber: 1, blockHash: GENESIS_HASH }
  const times = { timestamp: number, clockMicros: 1 }
  const own = { checkpointLsn: number, entries: 1, shard: 0 }
  const commit = encodeCommitEntry({ ...place, ...times, ...own })
  return placeEntries([encodeDecisionEntry(number), commit], { salt: CATALOGUE_SALT, position: 0 })
}

/** Commits, each of which makes those before it count no more, up to where it is made smaller. */
function largeCatalogue(): { readonly bytes: Buffer; readonly commits: number } {
  const place = { journalFile: 1, blockNumber: 1, blockHash: GENESIS_HASH }
  const entries: Buffer[] = []
  for (let size = 0; size < MIB; size += entries.at(-1)?.length ?? 0) {
    const checkpointLsn = entries.length + 1
    const times = { timestamp: checkpointLsn, clockMicros: 1 }
    entries.push(encodeCommitEntry({ ...place, ...times, checkpointLsn, entries: 0, shard: 0 }))
  }
  const bytes = placeEntries(entries, { salt: CATALOGUE_SALT, position: 0 })
  return { bytes, commits: entries.length }
}

copies.run()
