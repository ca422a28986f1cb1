import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { StoreError } from '../../../src/shared/errors.ts'
import { chainHashOf } from '../../../src/shared/format/chain.ts'
import { RECORD_LAYOUT, RecordKind, viewRecord } from '../../../src/shared/format/record.ts'
import type { ReadPlan } from '../../../src/shared/protocol/shard.ts'
import type { ReadRequest, ReadVerify } from '../../../src/shared/protocol/streams.ts'
import { planRead } from '../../../src/workers/engine/read-planner.ts'
import { openDataDirectory } from '../../../src/workers/recovery/data-directory.ts'
import { recoverShard } from '../../../src/workers/recovery/open-shard.ts'
import { readStream, verifyStream } from '../../../src/workers/streams/read-stream.ts'
import type { FlatDisk } from '../../support/flat-disk.ts'
import {
  forgeChecksum,
  forgeOffset,
  segmentOf,
  SMALL_OPTIONS,
  StoreMaker,
} from '../../support/inspected-store.ts'
import { Random } from '../../support/random.ts'
import { Clock } from '../../support/simulated-shard.ts'

// One record of a stored stream is changed by somebody who knows the formats, at every position:
// inside segments, at their borders, beside checkpoints, and at the border to what is in memory.

const STORED = 14
const IN_MEMORY = 3
const COUNT = STORED + IN_MEMORY
const VERIFIED = ['links', 'checkpoint', 'genesis'] as const

/** A stream of several segments with checkpoints, whose last records are in memory alone. */
function makeStore(): FlatDisk {
  const maker = new StoreMaker()
  maker.append('orders', 8)
  maker.checkpoint('orders')
  maker.append('orders', STORED - 8)
  maker.store()
  maker.append('orders', IN_MEMORY)
  maker.journal()
  return maker.copy().disk
}

const SOUND = makeStore()

type Place = { readonly path: string; readonly at: number; readonly end: number }

/** Where the stored elements of a kind lie, those of checkpoints by the record behind them. */
function placesOf(disk: FlatDisk, kind: RecordKind): Map<number, Place> {
  const places = new Map<number, Place>()
  for (let index = 0; ; index += 1) {
    const path = segmentOf(disk, 'orders', index)
    if (path === undefined) return places
    const bytes = disk.content(path)
    for (let at = 0; at < bytes.length; ) {
      const record = viewRecord(bytes, at)
      assert.ok(record)
      if (record.kind === kind) places.set(record.offset, { path, at, end: record.end })
      at = record.end
    }
  }
}

const PLACES = placesOf(SOUND, RecordKind.Data)
const CHECKPOINTS = placesOf(SOUND, RecordKind.Checkpoint)

function change(disk: FlatDisk, offset: number, act: (bytes: Buffer, place: Place) => void): void {
  const place = PLACES.get(offset) as Place
  disk.change(place.path, bytes => act(bytes, place))
}

/** Changes the body of a record, and repairs its checksum. */
function rewrite(disk: FlatDisk, offset: number): void {
  change(disk, offset, (bytes, { at, end }) => {
    bytes[end - 9] = (bytes[end - 9] as number) ^ 1
    forgeChecksum(bytes, at)
  })
}

function planOf(disk: FlatDisk, request: ReadRequest): ReadPlan {
  const environment = new Clock().environment(new Random(1))
  openDataDirectory(disk, environment, 1)
  const { table } = recoverShard(disk, environment, 0, SMALL_OPTIONS)
  const wholeTail = request.verify === 'genesis'
  const fromCheckpoint = request.verify === 'checkpoint'
  const range = { ...request, since: request.since, wholeTail, fromCheckpoint }
  return planRead(table.durable('orders'), range)
}

function read(disk: FlatDisk, part: Partial<ReadRequest>): readonly number[] {
  const request: ReadRequest = {
    from: 0,
    direction: 'forward',
    limit: 1000,
    maxBytes: 1e6,
    verify: 'links',
    encoding: 'json',
    ...part,
  }
  const copy = disk.copy()
  const { records } = readStream(copy, planOf(copy, request), request).selection
  return records.map(({ record }) => record.offset)
}

/** The range that a read names; undefined where it is answered. */
function named(disk: FlatDisk, part: Partial<ReadRequest>): readonly [number, number] | undefined {
  try {
    read(disk, part)
    return undefined
  } catch (error) {
    assert.instance(error, StoreError)
    const { code, fields } = error as StoreError
    assert.is(code, 'corrupt_record')
    return [Number(fields['firstCorruptOffset']), Number(fields['nextReadableOffset'])]
  }
}

function one(offset: number, verify: ReadVerify = 'links'): Partial<ReadRequest> {
  return { from: offset, limit: 1, verify }
}

const tampered = suite('workers/streams/tampered-reads')

tampered('a sound stream is read whole, one by one and in every mode', () => {
  assert.ok(CHECKPOINTS.size >= 3 && PLACES.size === STORED)
  for (const verify of ['none', ...VERIFIED] as const) {
    assert.is(read(SOUND, { verify }).length, COUNT, verify)
    for (let offset = 0; offset < COUNT; offset += 1) {
      assert.equal(read(SOUND, one(offset, verify)), [offset])
    }
  }
})

tampered('a rewritten record is never served, and it is the one that is named', () => {
  for (let offset = 0; offset < STORED; offset += 1) {
    const disk = SOUND.copy()
    rewrite(disk, offset)
    const range = [offset, offset + 1]
    for (const verify of VERIFIED) {
      assert.equal(named(disk, one(offset, verify)), range, `${offset} alone, ${verify}`)
      assert.equal(named(disk, { verify }), range, `${offset} in a page, ${verify}`)
    }
    assert.equal(named(disk, { from: COUNT, direction: 'backward' }), range, `${offset} backward`)
    const up = { from: offset + 1, direction: 'backward', limit: 1 } as const
    assert.equal(named(disk, up), range, `${offset} backward alone`)
  }
})

tampered('the neighbours of a rewritten record stay readable, from right behind it too', () => {
  for (let offset = 0; offset < STORED; offset += 1) {
    const disk = SOUND.copy()
    rewrite(disk, offset)
    for (let other = 0; other < COUNT; other += 1) {
      if (other !== offset) assert.equal(read(disk, one(other)), [other], `${other} by ${offset}`)
    }
    assert.is(read(disk, { from: offset + 1 }).length, COUNT - offset - 1)
    if (offset > 0) assert.is(read(disk, { limit: offset }).length, offset)
  }
})

tampered('records whose bodies changed places are both named', () => {
  for (let offset = 0; offset + 1 < STORED; offset += 1) {
    const disk = SOUND.copy()
    rewrite(disk, offset)
    rewrite(disk, offset + 1)
    for (const verify of VERIFIED) {
      const range = [offset, offset + 2]
      assert.equal(named(disk, one(offset, verify)), range, `${offset} ${verify}`)
      assert.ok(named(disk, one(offset + 1, verify)), `${offset + 1} ${verify}`)
    }
  }
})

tampered('whole records that changed places are never served', () => {
  const pairs = [...PLACES].filter(([offset, { path, at, end }]) => {
    const next = PLACES.get(offset + 1)
    return next?.path === path && next.at === end && at >= 0
  })
  assert.ok(pairs.length > 3)
  for (const [offset, { path, at }] of pairs) {
    const disk = SOUND.copy()
    const { at: middle, end } = PLACES.get(offset + 1) as Place
    disk.change(path, bytes => {
      const swapped = Buffer.concat([bytes.subarray(middle, end), bytes.subarray(at, middle)])
      swapped.copy(bytes, at)
      forgeOffset(bytes, at, offset)
      forgeOffset(bytes, at + end - middle, offset + 1)
    })
    for (const verify of VERIFIED) {
      for (const which of [offset, offset + 1]) {
        assert.ok(named(disk, one(which, verify)), `${which} of ${offset}, ${verify}`)
      }
      const [first = -1, next = -1] = named(disk, { verify }) ?? []
      assert.ok(first === offset && next === offset + 2, `${offset} ${verify}: ${first} ${next}`)
    }
  }
})

tampered('a chain made anew without the key fails wherever a signature lies above', () => {
  const lastSigned = Math.max(...CHECKPOINTS.keys())
  for (let offset = 0; offset < lastSigned; offset += 1) {
    const disk = SOUND.copy()
    rechain(disk, offset)
    for (const verify of ['checkpoint', 'genesis'] as const) {
      assert.ok(named(disk, one(offset, verify)), `${offset} ${verify}`)
    }
  }
})

tampered('a flipped bit anywhere in a record costs that record alone', () => {
  for (let offset = 0; offset < STORED; offset += 1) {
    const { path, at, end } = PLACES.get(offset) as Place
    for (let byte = at; byte < end; byte += 1) {
      const disk = SOUND.copy()
      disk.change(path, bytes => {
        bytes[byte] = (bytes[byte] as number) ^ 4
      })
      const note = `byte ${byte - at} of record ${offset}`
      assert.equal(named(disk, {}), [offset, offset + 1], note)
      assert.is(read(disk, { from: offset + 1 }).length, COUNT - offset - 1, note)
      if (offset > 0) assert.is(read(disk, { limit: offset }).length, offset, note)
    }
  }
})

tampered('verify of any range reports a rewritten last record, and names it', () => {
  for (let offset = 0; offset < STORED; offset += 1) {
    const disk = SOUND.copy()
    rewrite(disk, offset)
    for (const to of [offset + 1, offset + 2, COUNT]) {
      const report = verify(disk, 0, to)
      assert.equal([report.ok, report.failure?.offset], [false, offset], `${offset} below ${to}`)
    }
    if (offset > 0) assert.ok(verify(disk, 0, offset).ok, `below ${offset}`)
  }
})

/** Changes a record, and links everything stored behind it anew; signatures stay as they were. */
function rechain(disk: FlatDisk, offset: number): void {
  const { streamId } = planOf(disk.copy(), { ...REQUEST, from: 0 })
  const places = [...PLACES.values(), ...CHECKPOINTS.values()].sort(
    (left, right) => left.path.localeCompare(right.path) || left.at - right.at,
  )
  const start = PLACES.get(offset) as Place
  const from = places.findIndex(({ path, at }) => path === start.path && at === start.at)
  rewrite(disk, offset)
  let head: string | undefined
  for (const { path, at } of places.slice(from)) {
    disk.change(path, bytes => {
      if (head !== undefined) {
        bytes.latin1Write(head, at + RECORD_LAYOUT.previousHash[0], 32)
        forgeChecksum(bytes, at)
      }
      const record = viewRecord(bytes, at)
      assert.ok(record)
      head = chainHashOf(streamId, bytes, record)
    })
  }
}

const REQUEST: ReadRequest = {
  from: 0,
  direction: 'forward',
  limit: 1,
  maxBytes: 1,
  verify: 'none',
  encoding: 'json',
}

function verify(disk: FlatDisk, from: number, to: number) {
  const copy = disk.copy()
  const range = { from: undefined, to }
  const environment = new Clock().environment(new Random(1))
  openDataDirectory(copy, environment, 1)
  const { table } = recoverShard(copy, environment, 0, SMALL_OPTIONS)
  const plan = planRead(table.durable('orders'), {
    ...REQUEST,
    from: 'start',
    since: undefined,
    wholeTail: true,
    fromCheckpoint: true,
    verified: range,
  })
  return verifyStream(copy, plan, from, plan.high)
}

tampered('a range whose last record nothing vouches for is not verified', () => {
  for (let offset = 0; offset + 1 < STORED; offset += 1) {
    if (CHECKPOINTS.has(offset + 1)) continue
    const disk = SOUND.copy()
    rewrite(disk, offset)
    change(disk, offset + 1, (bytes, { at, end }) => bytes.fill(0, at, end))
    assert.not.ok(verify(disk, 0, offset + 1).ok, `below ${offset + 1}`)
    for (const mode of ['checkpoint', 'genesis'] as const) {
      assert.ok(named(disk, one(offset, mode)), `${offset} ${mode}`)
    }
  }
})

tampered('a damaged manifest costs nothing, whatever the segment', () => {
  const disk = SOUND.copy()
  const { path } = PLACES.get(STORED - 1) as Place
  const first = Math.min(
    ...[...PLACES].filter(([, place]) => place.path === path).map(([at]) => at),
  )
  const manifest = `${path.slice(0, path.lastIndexOf('/'))}/manifest.json`
  disk.change(manifest, bytes => void bytes.fill(0, 0, 20))
  assert.is(read(disk, { from: first }).length, COUNT - first)
  const back = { from: COUNT, direction: 'backward', limit: COUNT - first } as const
  assert.is(read(disk, back).length, COUNT - first)
  assert.is(read(disk, { from: 0 }).length, COUNT)
})

tampered.run()
