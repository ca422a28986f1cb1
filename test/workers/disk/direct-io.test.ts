import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { probePath, shardPath } from '../../../src/shared/format/paths.ts'
import { PAGE_BYTES } from '../../../src/shared/limits.ts'
import { createJournalMemory, DirectIo, Word } from '../../../src/shared/memory/journal-memory.ts'
import { InvariantError } from '../../../src/shared/assert.ts'
import { DiskError } from '../../../src/workers/disk/disk.ts'
import { explainDirectIo, tryDirectIo, writePages } from '../../../src/workers/disk/direct-io.ts'
import { NodeDisk } from '../../../src/workers/disk/node-disk.ts'
import { Random } from '../../support/random.ts'
import { withDirectory } from '../../support/server.ts'
import { SimulatedDisk } from '../../support/simulated-disk.ts'

const direct = suite('workers/disk/direct-io')

direct('where the file system does it, the journal is written directly, and no trace stays', () => {
  const { disk, memory } = open()
  assert.is(tryDirectIo(disk, 0, memory), undefined)
  assert.is(memory.words[Word.directIo], DirectIo.On)
  assert.not.ok(disk.exists(probePath(0)))
  assert.ok(memory.slots[0].every(byte => byte === 0))
})

for (const operation of ['openDirect', 'write'] as const) {
  direct(`a probe whose ${operation} is refused leaves the page cache, and no trace`, () => {
    const { disk, memory } = open()
    disk.fault = { operation, at: operation === 'write' ? 2 : 1, code: 'EINVAL' }
    const error = tryDirectIo(disk, 0, memory)
    assert.is(error?.code, 'EINVAL')
    assert.is(memory.words[Word.directIo], DirectIo.Unavailable)
    assert.not.ok(disk.exists(probePath(0)))
  })
}

direct('a page that is read back as another is no direct I/O', () => {
  const disk = new (class extends SimulatedDisk {
    override read(file: number, target: Buffer, position: number): number {
      return super.read(file, target, position) && target.fill(0).length
    }
  })(new Random(1))
  const memory = createJournalMemory(PAGE_BYTES)
  disk.makeDirectory(shardPath(0))
  assert.is(tryDirectIo(disk, 0, memory)?.code, 'EIO')
  assert.is(memory.words[Word.directIo], DirectIo.Unavailable)
})

direct('every errno has a meaning', () => {
  for (const code of ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'EIO']) {
    assert.match(explainDirectIo(new DiskError(code, 'open', 'x')), 'direct I/O')
  }
})

direct('after a short write the next one starts at a page again', () => {
  const disk = new ShortDisk([PAGE_BYTES + 512, 2 * PAGE_BYTES - 1, 3 * PAGE_BYTES])
  const file = openFile(disk)
  const source = pages(5)
  writePages(disk, file, source, PAGE_BYTES)
  assert.ok(disk.content('file').subarray(PAGE_BYTES).equals(source))
  assert.equal(
    disk.positions,
    [1, 2, 3].map(page => page * PAGE_BYTES),
  )
})

direct('a write of less than a page is want of room, not an endless loop', () => {
  const disk = new ShortDisk([PAGE_BYTES - 1])
  assert.throws(
    () => writePages(disk, openFile(disk), pages(1), 0),
    (error: unknown) => error instanceof DiskError && error.isForSpace && !error.isSync,
  )
})

direct('what is not whole pages is a defect', () => {
  const disk = new ShortDisk([])
  const file = openFile(disk)
  for (const [bytes, position] of [
    [PAGE_BYTES - 1, 0],
    [PAGE_BYTES, 1],
  ] as const) {
    assert.throws(
      () => writePages(disk, file, pages(1).subarray(0, bytes), position),
      (error: unknown) => error instanceof InvariantError,
    )
  }
})

direct('the probe agrees with what the real file system then does', () =>
  withDirectory(async directory => {
    const disk = new NodeDisk(directory)
    disk.makeDirectory('journals')
    disk.makeDirectory(shardPath(0))
    const memory = createJournalMemory(PAGE_BYTES)
    const error = tryDirectIo(disk, 0, memory)
    if (error !== undefined) return assert.match(explainDirectIo(error), 'direct I/O')
    disk.close(disk.open('file', 'create'))
    const file = disk.open('file', 'direct')
    writePages(disk, file, memory.slots[1], 0)
    assert.throws(() => disk.write(file, Buffer.alloc(100), 0), /EINVAL/)
    disk.close(file)
  }),
)

function open() {
  const disk = new SimulatedDisk(new Random(1))
  disk.makeDirectory(shardPath(0))
  return { disk, memory: createJournalMemory(PAGE_BYTES) }
}

/** Not opened 'direct': a kernel may end a write where no caller may. */
function openFile(disk: SimulatedDisk): number {
  return disk.open('file', 'create')
}

function pages(count: number): Buffer {
  return Buffer.from(new SharedArrayBuffer(count * PAGE_BYTES)).fill('some bytes ')
}

/** Takes so many bytes at each write, and then all. */
class ShortDisk extends SimulatedDisk {
  readonly positions: number[] = []
  readonly #lengths: number[]

  constructor(lengths: number[]) {
    super(new Random(1))
    this.#lengths = lengths
  }

  override write(file: number, source: Buffer, position: number): number {
    this.positions.push(position)
    const length = this.#lengths.shift() ?? source.length
    return super.write(file, source.subarray(0, length), position)
  }
}

direct.run()
