import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DiskError } from '../../../src/workers/disk/disk.ts'
import { replaceFile, writeFully } from '../../../src/workers/disk/files.ts'
import { Random } from '../../support/random.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'

const disk = suite('workers/disk')

disk('want of room or of descriptors may pass, a defect does not', () => {
  const isForSpace = (code: string) => new DiskError(code, 'write', 'x').isForSpace
  assert.equal(['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE'].map(isForSpace), [true, true, true, true])
  assert.equal(['EIO', 'EROFS', 'EBADF'].map(isForSpace), [false, false, false])
})

disk('a sync is told from other operations, whatever it failed with', () => {
  assert.ok(new DiskError('ENOSPC', 'sync', 'x').isSync)
  assert.ok(new DiskError('ENOSPC', 'syncDirectory', 'x').isSync)
  assert.not.ok(new DiskError('ENOSPC', 'write', 'x').isSync)
})

disk('a short write is gone on with until all is written', () => {
  const short = new ShortDisk(new Random(1))
  const file = short.open('a', 'create')
  writeFully(short, file, Buffer.from('all of this'), 3)
  assert.is(short.content('a').toString('latin1'), '\0\0\0all of this')
})

disk('a write that takes nothing is want of room, not an endless loop', () => {
  const none = new ShortDisk(new Random(1), 0)
  const file = none.open('a', 'create')
  assert.throws(
    () => writeFully(none, file, Buffer.from('x'), 0),
    (error: unknown) => error instanceof DiskError && error.isForSpace,
  )
})

disk('a replaced file survives a power cut whole, old or new', () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const random = new Random(seed)
    const simulated = new SimulatedDisk(random)
    replaceFile(simulated, 'a', Buffer.from('old'))
    simulated.crashAt = simulated.operations + random.below(6)
    try {
      replaceFile(simulated, 'a', Buffer.from('new'))
    } catch {
      // The machine stopped.
    }
    simulated.cutPower()
    assert.ok(['old', 'new'].includes(simulated.content('a').toString()), `seed ${seed}`)
  }
})

/** Takes at most so many bytes a write. */
class ShortDisk extends SimulatedDisk {
  readonly #bytes: number

  constructor(random: Random, bytes = 4) {
    super(random)
    this.#bytes = bytes
  }

  override write(file: number, source: Buffer, position: number): number {
    if (this.#bytes === 0) return 0
    return super.write(file, source.subarray(0, this.#bytes), position)
  }
}

disk.run()
