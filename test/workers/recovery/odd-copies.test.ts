import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  catalogueCopyPath,
  cataloguePath,
  COPIES_PATH,
  newestCopyPath,
  newestPath,
  parentPath,
} from '../../../src/shared/format/paths.ts'
import { recoverShard } from '../../../src/workers/recovery/open-shard.ts'
import { repairDirectory } from '../../../src/workers/repair/repair.ts'
import { SMALL_OPTIONS, smallStore, verifyStore } from '../../support/inspected-store.ts'
import { Random } from '../../support/random.ts'
import { onRealDisk } from '../../support/real-disk.ts'
import { Clock } from '../../support/simulated-shard.ts'

const odd = suite('workers/recovery/odd-copies')

const COPIES = [cataloguePath(0), catalogueCopyPath(0), newestPath(0), newestCopyPath(0)]

for (const path of COPIES) {
  odd(`a start goes by the other copy where a directory is in the place of ${path}`, () => {
    onRealDisk(smallStore().disk, ({ disk, makeDirectory }) => {
      makeDirectory(path)
      const { refused, report } = recoverShard(disk, environment(), 0, SMALL_OPTIONS)
      assert.is(refused, null)
      assert.equal(report?.rebuilt, [path])
      const name = path.slice(parentPath(path).length + 1)
      assert.ok(disk.list(parentPath(path)).includes(`${name}.aside-1`))
      assert.equal(verifyStore(disk).damages, [])
      const again = recoverShard(disk, environment(), 0, SMALL_OPTIONS)
      assert.equal(again.report?.rebuilt, [], 'the copy is a file again')
    })
  })

  odd(`a repair goes by the other copy where a directory is in the place of ${path}`, () => {
    onRealDisk(smallStore().disk, ({ disk, makeDirectory }) => {
      makeDirectory(path)
      const request = { kind: 'repair', data: '', apply: true, commit: [], abort: [] } as const
      const { reasons, losses } = repairDirectory(disk, environment(), request)
      assert.ok(reasons.some(reason => reason.startsWith(path)))
      assert.equal(losses, [])
      assert.equal(verifyStore(disk).damages, [])
      assert.equal(repairDirectory(disk, environment(), request).reasons, [])
    })
  })
}

odd('a start makes the second copies again where their whole directory is missing', () => {
  onRealDisk(smallStore().disk, ({ disk }) => {
    for (const name of disk.list(COPIES_PATH)) disk.remove(`${COPIES_PATH}/${name}`)
    disk.removeDirectory(COPIES_PATH)
    const { refused, report } = recoverShard(disk, environment(), 0, SMALL_OPTIONS)
    assert.is(refused, null)
    assert.equal(report?.rebuilt, [catalogueCopyPath(0), newestCopyPath(0)])
    assert.equal(verifyStore(disk).damages, [])
  })
})

function environment() {
  return new Clock().environment(new Random(5))
}

odd.run()
