import * as fc from 'fast-check'
import { StoreError } from '../../src/shared/errors.ts'
import { DiskError } from '../../src/workers/disk/disk.ts'
import { planRead } from '../../src/workers/engine/read-planner.ts'
import { openDataDirectory } from '../../src/workers/recovery/data-directory.ts'
import { JournalDamage } from '../../src/workers/recovery/journal-walk.ts'
import { type RecoveredShard, recoverShard } from '../../src/workers/recovery/open-shard.ts'
import { readStream } from '../../src/workers/streams/read-stream.ts'
import type { FlatDisk } from '../support/flat-disk.ts'
import {
  SMALL_OPTIONS,
  type SmallStore,
  smallStore,
  verifyStore,
} from '../support/inspected-store.ts'
import { Random } from '../support/random.ts'
import { Clock } from '../support/simulated-shard.ts'
import type { FuzzOptions } from './fuzz-http.ts'
import { FuzzReport, type FuzzRow } from './fuzz-report.ts'

// Whole stores whose files were changed, cut, swapped and removed, as an offline check, a start and
// readers meet them: a typed failure or right records, never another error and never a wrong body.

const WHOLE = { from: 'start', direction: 'forward', limit: 1e9, maxBytes: 1e9 } as const

const damage = fc.record({
  file: fc.nat(),
  other: fc.nat(),
  kind: fc.constantFrom('flip', 'flip', 'length', 'cut', 'zeros', 'noise', 'add', 'remove', 'swap'),
  at: fc.nat(),
  size: fc.constantFrom(0, 1, 0x7f, 0xffff, 0x7fffffff, 0xffffffff),
  noise: fc.uint8Array({ minLength: 1, maxLength: 64 }),
})
type Damage = typeof damage extends fc.Arbitrary<infer Value> ? Value : never
const damages = fc.array(damage, { minLength: 1, maxLength: 3 })

/** Damages `requests` copies of a store, and checks what is made of each. */
export function fuzzStore({ requests, seed }: FuzzOptions): FuzzRow {
  const report = new FuzzReport('damaged stores')
  const store = smallStore()
  for (const list of fc.sample(damages, { numRuns: requests, seed })) {
    const disk = store.disk.copy()
    for (const one of list) harm(disk, one)
    const fault = faultOf(disk, store.bodies)
    if (fault === undefined) report.survived()
    else report.failed(fault, Buffer.from(JSON.stringify(list)))
  }
  return report.row()
}

function harm(disk: FlatDisk, { file, other, kind, at, size, noise }: Damage): void {
  const paths = disk.paths()
  const path = paths[file % paths.length] ?? ''
  const bytes = Buffer.from(disk.content(path))
  // What counts lies at the beginning of most files; the rest is space.
  const place = bytes.length === 0 ? 0 : (at % 2 === 0 ? at : at % 600) % bytes.length
  switch (kind) {
    case 'flip':
      if (bytes.length > 0) bytes[place] = (bytes[place] as number) ^ (1 << (at & 7))
      return disk.put(path, bytes)
    case 'length':
      if (place + 4 <= bytes.length) bytes.writeUInt32LE(size, place)
      return disk.put(path, bytes)
    case 'cut':
      return disk.put(path, bytes.subarray(0, place))
    case 'zeros':
      return disk.put(path, bytes.fill(0, place, Math.min(place + 4096, bytes.length)))
    case 'noise':
      bytes.set(noise.subarray(0, bytes.length - place), place)
      return disk.put(path, bytes)
    case 'add':
      return disk.put(path, Buffer.concat([bytes, noise]))
    case 'remove':
      return disk.remove(path)
    case 'swap': {
      const second = paths[other % paths.length] ?? ''
      disk.put(path, disk.content(second))
      return disk.put(second, bytes)
    }
  }
}

function faultOf(disk: FlatDisk, bodies: SmallStore['bodies']): string | undefined {
  try {
    verifyStore(disk.copy())
  } catch (error) {
    if (!isTyped(error)) return `verify: ${describe(error)}`
  }
  try {
    const environment = new Clock().environment(new Random(1))
    openDataDirectory(disk, environment, 1)
    const shard = recoverShard(disk, environment, 0, SMALL_OPTIONS)
    for (const { stream } of shard.table.list('', '', 1000)) {
      if (isWrong(disk, shard, stream, bodies.get(stream) ?? [])) return 'a wrong record is served'
    }
  } catch (error) {
    if (!isTyped(error)) return `start: ${describe(error)}`
  }
  return undefined
}

function isWrong(
  disk: FlatDisk,
  { table }: RecoveredShard,
  stream: string,
  bodies: readonly string[],
): boolean {
  const range = { ...WHOLE, since: undefined, wholeTail: true, fromCheckpoint: false }
  const request = { ...WHOLE, verify: 'links', encoding: 'json' } as const
  try {
    const { records } = readStream(disk, planRead(table.durable(stream), range), request).selection
    return records.some(
      ({ bytes, record: { offset, bodyAt, bodyEnd } }) =>
        bytes.utf8Slice(bodyAt, bodyEnd) !== bodies[offset],
    )
  } catch (error) {
    if (!isTyped(error)) throw error
    return false
  }
}

function isTyped(error: unknown): boolean {
  return error instanceof StoreError || error instanceof DiskError || error instanceof JournalDamage
}

/** The error and the place in the source that it comes from. */
function describe(error: unknown): string {
  const { message, stack = '' } = error as Error
  const places = stack.split('\n').filter(line => line.includes('/src/'))
  return `${message} ${places
    .slice(0, 2)
    .join('')
    .replaceAll(/\s+at |\(.*\/src\//g, ' ')}`
}
