import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { HEADER_PATH } from '../../../src/shared/format/paths.ts'
import { decodeSealedJson, encodeSealedJson } from '../../../src/shared/format/sealed-json.ts'
import { replaceFile } from '../../../src/workers/disk/files.ts'
import { openDataDirectory } from '../../../src/workers/recovery/data-directory.ts'
import { golden } from '../../support/format.ts'
import { CREATED_AT } from '../../support/format-samples.ts'
import { Random } from '../../support/random.ts'
import { Crash, SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock } from '../../support/simulated-shard.ts'

const UPGRADED = { format: 2, shards: 1, createdAt: CREATED_AT }

/** A laid out directory whose varve.json says something else. */
function directoryWith(header: Buffer): SimulatedDisk {
  const disk = new SimulatedDisk(new Random(1))
  open(disk, 1)
  replaceFile(disk, HEADER_PATH, header)
  return disk
}

function open(disk: SimulatedDisk, shards = 1) {
  return openDataDirectory(disk, new Clock().environment(new Random(2)), shards)
}

function headerOf(disk: SimulatedDisk): unknown {
  return decodeSealedJson(disk.content(HEADER_PATH))
}

const directory = suite('workers/recovery/data-directory')

directory('a directory of format 1 is opened, and is of format 2 from then on', () => {
  const disk = directoryWith(golden('directory-header-1'))
  assert.is(open(disk).shards, 1)
  assert.equal(headerOf(disk), UPGRADED)
})

directory('a crash at any point of that leaves one or the other', () => {
  for (let steps = 1; ; steps += 1) {
    const disk = directoryWith(golden('directory-header-1'))
    disk.crashAt = disk.operations + steps
    const stopped = isStopped(() => open(disk))
    disk.cutPower()
    assert.is(open(disk).shards, 1)
    assert.equal(headerOf(disk), UPGRADED)
    if (!stopped) return assert.ok(steps > 3)
  }
})

directory('a format that is not known is refused, and nothing is changed', () => {
  for (const format of [0, 3]) {
    const header = encodeSealedJson({ ...UPGRADED, format })
    const disk = directoryWith(header)
    assert.throws(
      () => open(disk),
      new RegExp(`it has format ${format}, this version reads 1 to 2`),
    )
    assert.ok(disk.content(HEADER_PATH).equals(header))
  }
})

function isStopped(run: () => unknown): boolean {
  try {
    run()
  } catch (error) {
    if (error instanceof Crash) return true
    throw error
  }
  return false
}

directory.run()
