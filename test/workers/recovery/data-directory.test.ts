import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { HEADER_COPY_PATH, HEADER_PATH } from '../../../src/shared/format/paths.ts'
import { encodeSealedJson } from '../../../src/shared/format/sealed-json.ts'
import { replaceFile } from '../../../src/workers/disk/files.ts'
import { openDataDirectory } from '../../../src/workers/recovery/data-directory.ts'
import { CREATED_AT } from '../../support/state-samples.ts'
import { Random } from '../../support/random.ts'
import { Crash, SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock } from '../../support/simulated-shard.ts'

/** More than a layout takes. */
const OPERATIONS_MAX = 400
const SEEDS = 40
const HEADER = { format: 3, shards: 1, createdAt: CREATED_AT, revision: 0 }
const PATHS = [HEADER_PATH, HEADER_COPY_PATH]

/** A laid out directory whose varve.json, or its copy too, says something else. */
function directoryWith(header: Buffer, paths = PATHS): SimulatedDisk {
  const disk = new SimulatedDisk(new Random(1))
  open(disk, 1)
  for (const path of paths) replaceFile(disk, path, header)
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
    assert.throws(
      () => open(directoryWith(encodeSealedJson(body))),
      /varve\.json and varve\.copy\.json are damaged or missing/,
    )
  }
})

directory('a header without a number of shards is refused', () => {
  for (const shards of [undefined, null, 0, -1, 1.5, '1', 65_537]) {
    const header = encodeSealedJson({ ...HEADER, shards })
    assert.throws(() => open(directoryWith(header)), /has no valid number of shards/)
  }
})

for (const path of PATHS) {
  directory(`a start writes ${path} again by the other file, whatever happened to it`, () => {
    const sound = encodeSealedJson(HEADER)
    const flipped = Buffer.from(sound)
    flipped[40] = (flipped[40] as number) ^ 1
    for (const bytes of [flipped, sound.subarray(0, 50), Buffer.alloc(0), undefined]) {
      const disk = directoryWith(sound)
      if (bytes === undefined) disk.remove(path)
      else replaceFile(disk, path, bytes)
      const { header, mended } = open(disk)
      assert.equal([header, mended], [HEADER, [path]])
      for (const file of PATHS) assert.ok(disk.content(file).equals(sound), file)
      assert.equal(open(disk).mended, [])
    }
  })

  directory(`an older ${path} that was put back does not count`, () => {
    const newer = { ...HEADER, createdAt: CREATED_AT + 1, revision: 2 }
    const disk = directoryWith(encodeSealedJson(newer))
    replaceFile(disk, path, encodeSealedJson(HEADER))
    assert.equal(open(disk), { header: newer, mended: [path] })
  })

  directory(`a sound ${path} of another format is refused beside one of this`, () => {
    const disk = directoryWith(encodeSealedJson({ ...HEADER, format: 2 }), [path])
    assert.throws(() => open(disk), /it has format 2, this version reads 3/)
  })
}

directory('a directory that lost both files is refused, never laid out anew', () => {
  const disk = directoryWith(encodeSealedJson(HEADER))
  for (const path of PATHS) disk.remove(path)
  assert.throws(() => open(disk), /it is not empty and has no varve\.json/)
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
      if (isOpened) {
        assert.ok(disk.exists(HEADER_PATH), message)
        disk.remove(PATHS[seed % 2] as string)
      }
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
