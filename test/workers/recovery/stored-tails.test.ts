import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { segmentPath, streamPath } from '../../../src/shared/format/paths.ts'
import { KIB } from '../../../src/shared/limits.ts'
import type { StreamDamage } from '../../../src/shared/protocol/streams.ts'
import { DiskError } from '../../../src/workers/disk/disk.ts'
import { recoverShard } from '../../../src/workers/recovery/open-shard.ts'
import { checkTails } from '../../../src/workers/recovery/stored-tails.ts'
import type { StreamLog } from '../../../src/workers/streams/stream-log.ts'
import { endsWithCheckpoint } from '../../../src/workers/streams/stream-position.ts'
import type { FlatDisk } from '../../support/flat-disk.ts'
import { SMALL_OPTIONS, StoreMaker } from '../../support/inspected-store.ts'
import { Random } from '../../support/random.ts'
import { Clock, SIMULATED_OPTIONS } from '../../support/simulated-shard.ts'

const tails = suite('workers/recovery/stored-tails')

type Made = { readonly disk: FlatDisk; readonly log: StreamLog; readonly path: string }
type Ending = 'record' | 'checkpoint'

/** A stream of four stored records, and one that only the journal holds. */
function made(ending: Ending = 'record', lastBody = 'stored 3', options = SMALL_OPTIONS): Made {
  const maker = new StoreMaker(options)
  for (const body of ['stored 0', 'stored 1', 'stored 2', lastBody]) maker.appendBody('a', body)
  maker.store()
  if (ending === 'checkpoint') maker.checkpoint('a')
  for (let round = 0; round < 6; round += 1) maker.store() // a write-back is due by then
  maker.appendBody('a', 'journaled')
  maker.journal()
  return locate(maker.copy().disk)
}

function locate(disk: FlatDisk): Made {
  const environment = new Clock().environment(new Random(1))
  const { table } = recoverShard(disk.copy(), environment, 0, SMALL_OPTIONS)
  const log = table.durable('a') as StreamLog
  assert.ok(log.stored.segmentBytes > 0, 'the active segment holds records')
  assert.is(log.durableNextOffset, 5)
  return { disk, log, path: segmentPath(streamPath('a', log.id), log.stored.segment) }
}

/** What a start names. */
function start(disk: FlatDisk): readonly StreamDamage[] {
  const environment = new Clock().environment(new Random(1))
  const { refused, damage } = recoverShard(disk, environment, 0, SMALL_OPTIONS)
  assert.is(refused, null)
  return damage
}

function named(disk: FlatDisk): string[] {
  return start(disk).map(
    ({ firstOffset, nextOffset, reason }) => `${firstOffset}..${nextOffset} ${reason}`,
  )
}

function flipAt(disk: FlatDisk, path: string, at: number): void {
  disk.change(path, bytes => {
    bytes[at] = (bytes[at] as number) ^ 1
  })
}

tails('a sound store names nothing, whatever its segments end with', () => {
  for (const ending of ['record', 'checkpoint'] as const) {
    const { disk, log } = made(ending)
    const { position, nextOffset } = log.stored
    assert.is(endsWithCheckpoint(position, nextOffset), ending === 'checkpoint')
    assert.equal(named(disk), [], ending)
  }
})

tails('a missing active segment is named for all its records', () => {
  const { disk, path, log } = made()
  disk.remove(path)
  const [damage] = start(disk)
  assert.is(damage?.streamId, Buffer.from(log.id, 'latin1').toString('hex'))
  const { segmentFirstOffset: first, segment } = log.stored
  assert.equal(named(disk), [`${first}..4 segment ${segment}: its segment is missing`])
})

tails('a segment that was cut is named from the first record that is not whole', () => {
  const { disk, path, log } = made()
  const { segmentBytes } = log.stored
  disk.change(path, bytes => bytes.subarray(0, segmentBytes - 1))
  const reason = `ends after ${segmentBytes - 1} of ${segmentBytes} bytes`
  assert.equal(named(disk), [`3..4 segment ${log.stored.segment} ${reason}`])
})

tails('a flipped bit in the last record is named', () => {
  const { disk, path, log } = made()
  const { segment, segmentBytes } = log.stored
  for (const back of [1, 6, 12, 40, 80]) {
    const hurt = disk.copy()
    flipAt(hurt, path, segmentBytes - back)
    const reason = `segment ${segment} should end with record 3: it does not check`
    assert.equal(named(hurt), [`3..4 ${reason}`], `${back} bytes before the end`)
  }
})

tails('a flipped bit in a last checkpoint is named, and no record as lost', () => {
  const { disk, path, log } = made('checkpoint')
  const { segment, segmentBytes } = log.stored
  flipAt(disk, path, segmentBytes - 20)
  const reason = `segment ${segment} should end with checkpoint 4: it does not check`
  assert.equal(named(disk), [`4..4 ${reason}`])
})

tails('a last record that checks, of another history, is named', () => {
  const { disk, path } = made()
  const other = made('record', 'forged 3')
  disk.put(path, other.disk.content(other.path))
  const [damage] = start(disk)
  assert.match(damage?.reason ?? '', /record 3: its hash is not the one in the catalogue/)
})

tails('a segment that is longer than its extent is sound', () => {
  const { disk, path } = made()
  disk.change(path, bytes => Buffer.concat([bytes, Buffer.from('not committed')]))
  assert.equal(named(disk), [])
})

tails('a stream that the journal did not change is not checked', () => {
  const maker = new StoreMaker()
  maker.append('a', 3)
  maker.store()
  maker.stop()
  const { disk } = maker.copy()
  for (const path of disk.paths()) if (path.endsWith('.log')) disk.remove(path)
  assert.equal(named(disk), [])
})

tails('a failed open or read is damage, a lack of file descriptors is not', () => {
  for (const method of ['open', 'read', 'size'] as const) {
    const codes = ['EIO', 'EISDIR', 'EMFILE'].filter(code => code !== 'EMFILE' || method === 'open')
    for (const code of codes) {
      const { disk, log } = made()
      Object.assign(disk, {
        [method]: () => {
          throw new DiskError(code, method, 'a segment')
        },
      })
      const found = checkTails(disk, [log])
      assert.is(found.length, code === 'EMFILE' ? 0 : 1, `${method}: ${code}`)
    }
  }
})

tails('files are closed, whatever is found', () => {
  const { disk, log, path } = made()
  let open = 0
  const [doOpen, doClose] = [disk.open.bind(disk), disk.close.bind(disk)]
  disk.open = (name, mode) => {
    const file = doOpen(name, mode)
    open += 1
    return file
  }
  disk.close = file => {
    open -= 1
    doClose(file)
  }
  for (const bytes of [log.stored.segmentBytes, 100, 0]) {
    disk.change(path, content => content.subarray(0, bytes))
    assert.is(checkTails(disk, [log]).length, bytes > 100 ? 0 : 1)
    assert.is(open, 0)
  }
})

tails(
  'a large last record is found, and is damage where its end or its header is not there',
  () => {
    const options = { ...SIMULATED_OPTIONS, slotBytes: 8192 * KIB, journalFileBytes: 16384 * KIB }
    const config = { ...SIMULATED_OPTIONS.defaultConfig, maxSegmentBytes: 8192 * KIB }
    for (const bytes of [100 * KIB, 2048 * KIB]) {
      const roomy = { ...options, journalBytesMax: 65_536 * KIB, defaultConfig: config }
      const { disk, log, path } = made('record', '.'.repeat(bytes), roomy)
      assert.equal(checkTails(disk, [log]), [])
      const { segmentBytes } = log.stored
      for (const at of [segmentBytes - 1, segmentBytes - bytes - 76]) {
        const hurt = disk.copy()
        flipAt(hurt, path, at)
        const [damage] = checkTails(hurt, [log])
        assert.equal([damage?.firstOffset, damage?.nextOffset], [3, 4], `byte ${at}`)
      }
    }
  },
)

tails.run()
