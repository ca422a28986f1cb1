import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { hexToLatin1 } from '../../../src/shared/format/bytes.ts'
import { segmentPath, streamPath } from '../../../src/shared/format/paths.ts'
import { makeDirectories, replaceFile } from '../../../src/workers/disk/files.ts'
import { runSteps } from '../../../src/workers/disk/sync-steps.ts'
import { releaseSegments } from '../../../src/workers/streams/trimmed-segments.ts'
import { Random } from '../../support/random.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'

const ID = hexToLatin1('3f'.repeat(16))
const DIRECTORY = streamPath('orders', ID)
const SEGMENT = segmentPath(DIRECTORY, 0)
const SEEDS = 40

const removal = suite('workers/streams/removal')

removal('a segment that a killed process removed does not come back after the next start', () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    assert.not.ok(releasedTwice(seed).exists(SEGMENT), `seed ${seed}`)
  }
})

/** The process dies before the removal is synced; the next one releases again, then power fails. */
function releasedTwice(seed: number): SimulatedDisk {
  const disk = new SimulatedDisk(new Random(seed))
  const trimmed = [{ directory: DIRECTORY, firstSegment: 1 }]
  makeDirectories(disk, DIRECTORY)
  replaceFile(disk, SEGMENT, Buffer.from('records'))
  releaseSegments(disk, trimmed).next()
  disk.kill()
  runSteps(disk, releaseSegments(disk, trimmed))
  disk.cutPower()
  return disk
}

removal.run()
