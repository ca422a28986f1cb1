import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { JournalHeader } from '../../../src/shared/format/journal-header.ts'
import { newestPath, shardPath } from '../../../src/shared/format/paths.ts'
import { PAGE_BYTES } from '../../../src/shared/limits.ts'
import { CopyFaults } from '../../../src/workers/disk/copy-faults.ts'
import { replaceFile } from '../../../src/workers/disk/files.ts'
import { DiskError } from '../../../src/workers/disk/disk.ts'
import {
  freeJournalFiles,
  listJournalFiles,
  prepareJournalFile,
  readNewest,
} from '../../../src/workers/journal/journal-files.ts'
import { CountingDisk } from '../../support/counting-disk.ts'
import { Random } from '../../support/random.ts'
import { Clock, SimulatedShard } from '../../support/simulated-shard.ts'

const files = suite('workers/journal/journal-files')

files('a freed file of the same size is used again, any other is made', () => {
  const disk = open()
  assert.not.ok(prepare(disk, 1))
  prepare(disk, 2)
  freeJournalFiles(disk, 0, 2)
  assert.ok(prepare(disk, 3))
  freeJournalFiles(disk, 0, 3)
  assert.not.ok(prepare(disk, 4, 9))
  assert.equal(listJournalFiles(disk, 0), [3, 4])
})

files('a file of another size does not keep others from being used again', () => {
  const disk = open()
  for (const number of [1, 2]) prepare(disk, number, 9)
  for (const number of [3, 4, 5]) prepare(disk, number)
  freeJournalFiles(disk, 0, 3)
  freeJournalFiles(disk, 0, 5)
  assert.ok(prepare(disk, 6))
  assert.ok(prepare(disk, 7))
})

files('only so many freed files are kept, and the others make room', () => {
  const disk = open()
  for (let number = 1; number <= 9; number += 1) prepare(disk, number)
  freeJournalFiles(disk, 0, 5)
  freeJournalFiles(disk, 0, 9)
  const names = disk.list(shardPath(0)).filter(name => name.endsWith('.spare'))
  assert.equal(names, ['000000000007.spare', '000000000008.spare'])
})

files('a freed file that cannot be read is passed over, for a new one does as well', () => {
  const disk = open()
  for (const number of [1, 2]) prepare(disk, number)
  freeJournalFiles(disk, 0, 2)
  const { open: openFile } = disk
  disk.open = (path, mode) => {
    if (path.endsWith('.spare')) throw new DiskError('EIO', 'open', path)
    return openFile.call(disk, path, mode)
  }
  assert.not.ok(prepare(disk, 3))
  assert.equal(listJournalFiles(disk, 0), [2, 3])
})

files('the note of another shard in the place of one is not believed', () => {
  const disk = open()
  for (const number of [1, 2]) prepare(disk, number)
  const other = new CountingDisk(new Random(2))
  other.makeDirectory(shardPath(1))
  prepare(other, 9, 4, 1)
  replaceFile(disk, newestPath(0), other.content(newestPath(1)))
  assert.equal(readNewest(disk, 0), { file: 2, damaged: [newestPath(0)] })
})

files('a steady load makes no new file once it has made the first ones', () => {
  const disk = new CountingDisk(new Random(1))
  const shard = new SimulatedShard(disk, new Random(1), new Clock())
  load(shard, 600)
  const { made, reused } = disk
  load(shard, 3000)
  assert.is(disk.made, made)
  assert.ok(disk.reused > reused + 10, `${disk.reused - reused} used again`)
  assert.is(shard.read('s').length, 3600)
})

function open(): CountingDisk {
  const disk = new CountingDisk(new Random(1))
  disk.makeDirectory(shardPath(0))
  return disk
}

function prepare(disk: CountingDisk, number: number, pages = 4, shard = 0): boolean {
  const header: JournalHeader = {
    shard,
    epoch: 1,
    number,
    firstLsn: number * PAGE_BYTES,
    capacity: pages * PAGE_BYTES,
    salt: 's'.repeat(16),
  }
  return prepareJournalFile(disk, header, new CopyFaults())
}

/** Appends one after the other, the checkpointer doing its work in between. */
function load(shard: SimulatedShard, appends: number): void {
  for (let count = 0; count < appends; count += 1) {
    shard.append('s', ['x'.repeat(500)], () => undefined)
    shard.flush()
    shard.runJob()
    shard.advance()
  }
  shard.settle()
}

files.run()
