import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BLOCK_HEADER_BYTES, blockBytes, decodeBlockHeader } from '../../src/shared/format/block.ts'
import { StoreError } from '../../src/shared/errors.ts'
import { PAGE_BYTES } from '../../src/shared/limits.ts'
import { planRead } from '../../src/workers/engine/read-planner.ts'
import { openDataDirectory } from '../../src/workers/recovery/data-directory.ts'
import { JournalDamage } from '../../src/workers/recovery/journal-walk.ts'
import { type RecoveredShard, recoverShard } from '../../src/workers/recovery/open-shard.ts'
import { readCatalogue } from '../../src/workers/streams/catalogue-copies.ts'
import { readStream } from '../../src/workers/streams/read-stream.ts'
import type { FlatDisk } from '../support/flat-disk.ts'
import {
  SMALL_OPTIONS,
  type SmallStore,
  smallStore,
  StoreMaker,
  verifyStore,
} from '../support/inspected-store.ts'
import { Random } from '../support/random.ts'
import { Clock } from '../support/simulated-shard.ts'

const SEED = Number(process.env['VARVE_SEED'] ?? 1)
/**
 * Of bytes that hold nothing, and of zeros that are checked, every so many-th is flipped; 1: all.
 */
const EMPTY_STEP = Number(process.env['VARVE_EMPTY_STEP'] ?? 64)
/** Zeros follow in the header page of a journal file. */
const JOURNAL_HEADER_BYTES = 64
const EVERYTHING = 1e9
const FORWARD = { from: 'start', direction: 'forward', limit: 1e9, maxBytes: EVERYTHING } as const

/** Ranges of a file that hold something that counts. */
type Ranges = readonly (readonly [from: number, to: number])[]

function meaningfulRanges(disk: FlatDisk, path: string): Ranges {
  const { length } = disk.content(path)
  if (path.endsWith('.spare')) return []
  if (path.endsWith('.wal')) return journalRanges(disk, path)
  if (!path.endsWith('.idx')) return [[0, length]]
  return [[0, 16 + 4 * disk.content(path).readUInt32LE(8)]] // one page: header and entries in use
}

/** The header and the blocks beyond the journal checkpoint, their padding aside. */
function journalRanges(disk: FlatDisk, path: string): Ranges {
  const bytes = disk.content(path)
  const catalogue = readCatalogue(disk, 0)
  assert.ok('commit' in catalogue)
  const ranges: [number, number][] = [[0, PAGE_BYTES]]
  for (let at = PAGE_BYTES; at < bytes.length; at += PAGE_BYTES) {
    const header = decodeBlockHeader(bytes, at)
    if (header === undefined || header.lsn < catalogue.commit.checkpointLsn) continue
    ranges.push([at, at + BLOCK_HEADER_BYTES + header.bodyLength])
    at += blockBytes(header.bodyLength) - PAGE_BYTES
  }
  return ranges
}

/** What a start and a reader of every stream make of a store. */
function serve(disk: FlatDisk): ReadonlyMap<string, readonly string[]> | 'refused' {
  const environment = new Clock().environment(new Random(SEED))
  const found = new Map<string, readonly string[]>()
  try {
    openDataDirectory(disk, environment, 1)
    const shard = recoverShard(disk, environment, 0, SMALL_OPTIONS)
    for (const { stream } of shard.table.list('', '', 1000)) {
      found.set(stream, readAll(disk, shard, stream))
    }
    return shard.refused === null ? found : 'refused'
  } catch (error) {
    if (error instanceof JournalDamage && error.message !== '') return 'refused'
    if (error instanceof StoreError && error.code === 'invalid_request') return 'refused'
    throw error
  }
}

/** Bodies of a stream, `corrupt` in place of those that cannot be read. */
function readAll(disk: FlatDisk, { table }: RecoveredShard, stream: string): readonly string[] {
  const plan = planRead(table.durable(stream), {
    ...FORWARD,
    since: undefined,
    wholeTail: true,
    fromCheckpoint: false,
  })
  const request = { ...FORWARD, verify: 'genesis', encoding: 'json' } as const
  try {
    const { records } = readStream(disk, plan, request).selection
    return records.map(({ bytes, record }) => bytes.utf8Slice(record.bodyAt, record.bodyEnd))
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'corrupt_record') throw error
    const { firstCorruptOffset: from, nextReadableOffset: to } = error.fields
    assert.ok(Number(from) >= 0 && Number(to) > Number(from) && Number(to) <= plan.nextOffset)
    return ['corrupt']
  }
}

/** Right answers, or none: never a wrong record, never fewer without a word. */
function checkServed(disk: FlatDisk, bodies: SmallStore['bodies']): void {
  const served = serve(disk)
  if (served === 'refused') return
  assert.equal([...served.keys()].sort(), [...bodies.keys()].sort())
  for (const [stream, found] of served) {
    if (found[0] !== 'corrupt') assert.equal(found, bodies.get(stream), stream)
  }
}

/** Flips one bit of byte after byte of a file. Returns how many. */
function flipAll({ disk, bodies }: SmallStore, path: string, random: Random): number {
  const ranges = meaningfulRanges(disk, path)
  const { length } = disk.content(path)
  let flips = 0
  for (let at = 0; at < length; at += 1) {
    const isMeaningful = ranges.some(([from, to]) => at >= from && at < to)
    const isZero = path.endsWith('.wal') && at >= JOURNAL_HEADER_BYTES && at < PAGE_BYTES
    if ((!isMeaningful || isZero) && at % EMPTY_STEP !== 0) continue
    const bit = random.below(8)
    try {
      flipOne(disk, bodies, path, at, bit, isMeaningful)
    } catch (error) {
      throw new Error(`bit ${bit} of byte ${at} of ${path}, seed ${SEED}: ${String(error)}`, {
        cause: error,
      })
    }
    flips += 1
  }
  return flips
}

function flipOne(
  disk: FlatDisk,
  bodies: SmallStore['bodies'],
  path: string,
  at: number,
  bit: number,
  isMeaningful: boolean,
): void {
  const flipped = disk.copy()
  flipped.change(path, bytes => {
    bytes[at] = (bytes[at] as number) ^ (1 << bit)
  })
  const { findings } = verifyStore(flipped)
  if (isMeaningful) {
    const isNamed = findings.some(({ file, bytes }) => file === path && covers(bytes, at))
    assert.ok(isNamed, 'verify names the byte')
  } else assert.equal(findings, [], 'nothing to name')
  checkServed(flipped, bodies)
}

function covers(bytes: readonly [number, number] | undefined, at: number): boolean {
  return bytes !== undefined && at >= bytes[0] && at < bytes[1]
}

function stoppedStore(): SmallStore {
  const maker = new StoreMaker()
  maker.append('orders', 5)
  maker.stop()
  return maker.copy()
}

const flipped = suite('integrity/flipped-bytes')

flipped('a store as it is reads back what was appended', () => {
  const { disk, bodies } = smallStore()
  const served = serve(disk)
  assert.ok(served !== 'refused')
  for (const [stream, found] of served) assert.equal(found, bodies.get(stream))
})

for (const [name, make] of [
  ['running', smallStore],
  ['stopped', stoppedStore],
] as const) {
  flipped(`no flipped bit in a ${name} store is overlooked or leads to a wrong answer`, () => {
    const store = make()
    const random = new Random(SEED)
    const flips = store.disk.paths().map(path => flipAll(store, path, random))
    assert.ok(flips.every(count => count > 0))
  })
}

flipped.run()
