import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { HEADER_PATH } from '../../../src/shared/format/paths.ts'
import { encodeSealedJson } from '../../../src/shared/format/sealed-json.ts'
import { replaceFile } from '../../../src/workers/disk/files.ts'
import { openDataDirectory } from '../../../src/workers/recovery/data-directory.ts'
import { CREATED_AT } from '../../support/format-samples.ts'
import { Random } from '../../support/random.ts'
import { Crash, SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock } from '../../support/simulated-shard.ts'

/** More than a layout takes. */
const OPERATIONS_MAX = 400
const SEEDS = 40
const HEADER = { format: 3, shards: 1, createdAt: CREATED_AT }

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

const directory = suite('workers/recovery/data-directory')

directory('a directory of another format is refused by name, and nothing is changed', () => {
  for (const format of [0, 1, 2, 4]) {
    const header = encodeSealedJson({ ...HEADER, format })
    const disk = directoryWith(header)
    assert.throws(
      () => open(disk),
      new RegExp(`it has format ${format}, this version reads 3; use the version that wrote it`),
    )
    assert.ok(disk.content(HEADER_PATH).equals(header))
  }
})

directory('a header that is whole and says nothing is refused', () => {
  for (const body of [null, {}, 3, []]) {
    assert.throws(() => open(directoryWith(encodeSealedJson(body))), /varve\.json is damaged/)
  }
})

directory('a header without a number of shards is refused', () => {
  for (const shards of [undefined, null, 0, -1, 1.5, '1', 65_537]) {
    const header = encodeSealedJson({ ...HEADER, shards })
    assert.throws(() => open(directoryWith(header)), /has no valid number of shards/)
  }
})

directory('a directory that was opened stays one, whenever its layout was stopped before', () => {
  let stopped = 0
  for (let at = 0; at < OPERATIONS_MAX && stopped === at; at += 1) {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const disk = new SimulatedDisk(new Random(seed))
      if (!stops(disk, at)) break
      stopped = at + 1
      disk.kill()
      const isOpened = !stops(disk, disk.operations + (seed % 8))
      disk.cutPower()
      const message = `stopped at operation ${at}, seed ${seed}`
      if (isOpened) assert.ok(disk.exists(HEADER_PATH), message)
      assert.not(stops(disk, Number.POSITIVE_INFINITY), message)
    }
  }
  assert.ok(stopped > 10 && stopped < OPERATIONS_MAX, `${stopped} operations`)
})

/** Whether a layout is stopped at an operation; it may end before. */
function stops(disk: SimulatedDisk, at: number): boolean {
  disk.crashAt = at
  try {
    open(disk)
  } catch (error) {
    if (error instanceof Crash) return true
    throw error
  }
  return false
}

directory.run()
