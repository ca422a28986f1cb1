import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DiskError, type FileMode } from '../../src/workers/disk/disk.ts'
import { runCrashes } from '../support/crash-run.ts'
import { Random } from '../support/random.ts'
import { SimulatedDisk } from '../support/simulated-disk.ts'

const SEEDS = 40
/** Beginnings of the names of directories and files; the last one is of all of them. */
const NAMES = ['a', 'b', 'retained', 'manifest', '0000', '']
const CODES = ['EIO', 'EACCES', 'EROFS', 'EDQUOT', 'ENOSPC']

const unwritable = suite('integrity/unwritable')

unwritable('streams whose files refuse calls now and then lose and repeat nothing', () => {
  let refused = 0
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    let disk: FlickeringDisk | undefined
    const make = (random: Random) => (disk = new FlickeringDisk(random, new Random(SEEDS + seed)))
    try {
      runCrashes(seed, { disk: make, lives: 4, isSigned: false })
    } catch (error) {
      if (error instanceof Error) error.message = `seed ${seed}: ${error.message}`
      throw error
    }
    refused += disk?.refusedCalls ?? 0
  }
  assert.ok(refused > 3 * SEEDS, `${refused} calls refused`)
})

/** Begins and ceases, at random, to refuse calls that write to files of streams. */
class FlickeringDisk extends SimulatedDisk {
  readonly #random: Random
  readonly #refused = new Map<string, string>()
  refusedCalls = 0

  constructor(history: Random, random: Random) {
    super(history)
    this.#random = random
  }

  override open(path: string, mode: FileMode): number {
    if (mode !== 'read') this.#check('open', path)
    return super.open(path, mode)
  }

  override makeDirectory(path: string): void {
    this.#check('makeDirectory', path)
    super.makeDirectory(path)
  }

  override rename(from: string, to: string): void {
    this.#check('rename', from)
    super.rename(from, to)
  }

  #check(operation: string, path: string): void {
    if (this.crashAt === Number.POSITIVE_INFINITY) return // the last start is to store everything
    if (this.#random.chance(0.04)) this.#change()
    if (!path.startsWith('streams/')) return
    for (const [name, code] of this.#refused) {
      if (!path.includes(`/${name}`)) continue
      this.refusedCalls += 1
      throw new DiskError(code, operation, path)
    }
  }

  #change(): void {
    if (this.#random.chance(0.4)) this.#refused.clear()
    else this.#refused.set(this.#random.pick(NAMES), this.#random.pick(CODES))
  }
}

unwritable.run()
