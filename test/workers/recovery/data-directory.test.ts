import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { HEADER_PATH } from '../../../src/shared/format/paths.ts'
import { encodeSealedJson } from '../../../src/shared/format/sealed-json.ts'
import { replaceFile } from '../../../src/workers/disk/files.ts'
import { openDataDirectory } from '../../../src/workers/recovery/data-directory.ts'
import { CREATED_AT } from '../../support/format-samples.ts'
import { Random } from '../../support/random.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'
import { Clock } from '../../support/simulated-shard.ts'

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
    assert.throws(() => open(directoryWith(header)), /says no number of shards/)
  }
})

directory.run()
