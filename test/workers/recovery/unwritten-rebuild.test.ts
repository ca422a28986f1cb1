import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { catalogueCopyPath, cataloguePath, streamPath } from '../../../src/shared/format/paths.ts'
import { readWhole, withFile, writeFully } from '../../../src/workers/disk/files.ts'
import { recoverShard } from '../../../src/workers/recovery/open-shard.ts'
import { readCatalogue } from '../../../src/workers/streams/catalogue-copies.ts'
import { Random } from '../../support/random.ts'
import { RefusingDisk } from '../../support/refusing-disk.ts'
import { Clock, SIMULATED_OPTIONS, SimulatedShard } from '../../support/simulated-shard.ts'

const BODY = 'x'.repeat(3000)
const NO_BYTES = Buffer.alloc(0)

const rebuild = suite('workers/recovery/unwritten-rebuild')

const CASES = (['close', 'trim'] as const).flatMap(change =>
  (['segment', 'manifest'] as const).map(refused => ({ change, refused })),
)

for (const { change, refused: file } of CASES) {
  rebuild(`a ${change} that the ${file} could not take outlives damage to the catalogue`, () => {
    const { shard, disk, clock } = open()
    for (const stream of ['bad', 'good']) {
      for (const body of ['one', 'two', 'three']) append(shard, stream, body)
    }
    shard.settle()
    const directory = entryOf(disk, 'bad').directory
    disk.refuse(file === 'manifest' ? `${directory}/manifest` : directory, 'EIO')
    const mutation = { kind: change, stream: 'bad', before: 2 } as const
    shard.mutate(mutation, NO_BYTES, () => undefined)
    run(shard, clock)
    freeJournal(shard, clock)
    run(shard, clock)
    append(shard, 'later', 'one')
    shard.stop()
    damageEntries(disk, 'good')
    const { table, refused } = recoverShard(
      disk,
      clock.environment(new Random(2)),
      0,
      SIMULATED_OPTIONS,
    )
    assert.match(refused ?? '', /second copy/)
    const { state, firstOffset, nextOffset } = table.durable('bad')?.info() ?? {}
    const expected = change === 'close' ? ['closed', 0, 3] : ['open', 2, 3]
    assert.equal([state, firstOffset, nextOffset], expected)
  })
}

function open() {
  const disk = new RefusingDisk(new Random(1))
  const clock = new Clock()
  return { disk, clock, shard: new SimulatedShard(disk, new Random(1), clock) }
}

function append(shard: SimulatedShard, stream: string, body: string): void {
  shard.append(stream, [body], () => undefined)
  while (shard.flush() === 'flushed') shard.advance()
}

/** Appends to another stream until the journal files of before are used again. */
function freeJournal(shard: SimulatedShard, clock: Clock): void {
  const files = SIMULATED_OPTIONS.journalBytesMax / BODY.length
  for (let sent = 0; sent < files; sent += 1) {
    append(shard, 'good', BODY)
    if (sent % 8 === 0) run(shard, clock)
  }
}

/** Lets everything happen that is due within a second or so. */
function run(shard: SimulatedShard, clock: Clock): void {
  for (let turn = 0; turn < 4; turn += 1) {
    clock.pass(300)
    shard.advance()
    while (shard.flush() === 'flushed') shard.advance()
    while (shard.runJob()) shard.advance()
  }
}

/** Damages the entry of a stream in both copies of the catalogue. */
function damageEntries(disk: RefusingDisk, stream: string): void {
  const { end } = entryOf(disk, stream)
  for (const path of [cataloguePath(0), catalogueCopyPath(0)]) {
    const bytes = readWhole(disk, path)
    bytes.writeUInt8(bytes.readUInt8(end - 1) ^ 1, end - 1)
    withFile(disk, path, 'update', file => writeFully(disk, file, bytes, 0))
  }
}

/** Where the entry of a stream ends in the catalogue, and the name of the stream's directory. */
function entryOf(disk: RefusingDisk, stream: string): { end: number; directory: string } {
  const catalogue = readCatalogue(disk, 0)
  assert.ok('live' in catalogue)
  const entry = catalogue.live.find(({ stream: found }) => found.name === stream)
  assert.ok(entry !== undefined)
  const path = streamPath(stream, entry.stream.streamId)
  return { end: entry.end, directory: path.slice(path.lastIndexOf('/') + 1) }
}

rebuild.run()
