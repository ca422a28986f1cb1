import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BLOCK_HEADER_BYTES, decodeBlockHeader } from '../../../src/shared/format/block.ts'
import { journalPath } from '../../../src/shared/format/paths.ts'
import { KIB, PAGE_BYTES } from '../../../src/shared/limits.ts'
import type { RepairReport } from '../../../src/shared/protocol/inspection.ts'
import { listJournalFiles } from '../../../src/workers/journal/journal-files.ts'
import { recoverShard } from '../../../src/workers/recovery/open-shard.ts'
import { repairDirectory } from '../../../src/workers/repair/repair.ts'
import type { StreamLog } from '../../../src/workers/streams/stream-log.ts'
import type { FlatDisk } from '../../support/flat-disk.ts'
import { SMALL_OPTIONS, StoreMaker, verifyStore } from '../../support/inspected-store.ts'
import { Random } from '../../support/random.ts'
import { Clock } from '../../support/simulated-shard.ts'

const OPTIONS = { ...SMALL_OPTIONS, journalFileBytes: 96 * KIB }
const { checkpointEvery } = OPTIONS.defaultConfig

type Step = (maker: StoreMaker) => void

const lost = suite('workers/repair/lost-changes')

const LATER: Readonly<Record<string, Step>> = {
  configure: maker => maker.configure('a', { checkpointEvery: 5 }),
  close: maker => maker.close('a'),
  trim: maker => maker.trim('a', 2),
}

for (const [change, step] of Object.entries(LATER)) {
  lost(`a ${change} behind a lost append goes with it, and the stream stays readable`, () => {
    const disk = repaired([maker => maker.append('a', 1), step], ({ losses }) => {
      assert.equal([losses[0]?.stream, losses[0]?.firstOffset], ['a', 6])
    })
    const { fault, durableState, durableFirstOffset, durableConfig } = streamOf(disk)
    assert.equal([fault, durableState, durableFirstOffset], [null, 'open', 0])
    assert.is(durableConfig.checkpointEvery, checkpointEvery)
    assert.equal(verifyStore(disk).damages, [])
  })
}

lost('a trim behind a lost configure goes with it, and the records behind it stay', () => {
  const configure: Step = maker => maker.configure('a', { checkpointEvery: 500 })
  const append: Step = maker => maker.append('a', 1)
  const disk = repaired([configure, maker => maker.trim('a', 2), append], ({ losses }) => {
    const reason = losses.find(({ stream }) => stream === 'a')?.reason
    assert.match(reason ?? '', /changes of its configuration, closed or first offset/)
  })
  const { fault, durableNextOffset, durableFirstOffset } = streamOf(disk)
  assert.equal([fault, durableNextOffset, durableFirstOffset], [null, 7, 0])
  assert.equal(verifyStore(disk).damages, [])
})

lost('a change behind a lost checkpoint holds, and the broken link is stated', () => {
  const sign: Step = maker => void maker.checkpoint('a')
  const disk = repaired([sign, maker => maker.configure('a', { checkpointEvery: 5 })])
  const { fault, durableConfig } = streamOf(disk)
  assert.equal([fault, durableConfig.checkpointEvery], [null, 5])
  assert.equal(verifyStore(disk).damages, [])
})

/** Repairs a store of six stored records of `a`, and a block for each step: the first is lost. */
function repaired(steps: readonly Step[], check?: (report: RepairReport) => void): FlatDisk {
  const maker = new StoreMaker(OPTIONS)
  maker.append('a', 6)
  maker.append('b', 1)
  maker.store()
  for (const step of steps) {
    step(maker)
    maker.journal()
  }
  const { disk } = maker.copy()
  damageBlock(disk, steps.length)
  const environment = new Clock().environment(new Random(5))
  const request = { kind: 'repair', data: '', apply: true, commit: [], abort: [] } as const
  check?.(repairDirectory(disk, environment, request))
  if (check === undefined) repairDirectory(disk, environment, request)
  return disk
}

/** Flips a bit in the n-th block with frames, from the last one on. */
function damageBlock(disk: FlatDisk, nth: number): void {
  const path = journalPath(0, listJournalFiles(disk, 0).at(-1) ?? 0)
  disk.change(path, bytes => {
    const blocks: number[] = []
    for (let at = PAGE_BYTES; at < bytes.length; at += PAGE_BYTES) {
      if ((decodeBlockHeader(bytes, at)?.bodyLength ?? 0) > 0) blocks.push(at)
    }
    const at = (blocks.at(-nth) ?? 0) + BLOCK_HEADER_BYTES
    bytes[at] = (bytes[at] as number) ^ 1
  })
}

/** `a` as a start finds it, once it was asked for. */
function streamOf(disk: FlatDisk): StreamLog {
  const environment = new Clock().environment(new Random(3))
  const { refused, table } = recoverShard(disk.copy(), environment, 0, OPTIONS)
  assert.is(refused, null)
  return table.durable('a') as StreamLog
}

lost.run()
