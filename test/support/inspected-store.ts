import { STREAM_CONFIG_DEFAULT } from '../../src/shared/limits.ts'
import { crc32 } from 'node:zlib'
import { CHECKPOINT_RECORD_BYTES } from '../../src/shared/format/checkpoint.ts'
import {
  claimedRecordBytes,
  decodeRecord,
  RECORD_LAYOUT,
  RecordKind,
} from '../../src/shared/format/record.ts'
import { KIB } from '../../src/shared/limits.ts'
import type { Finding, InspectionMessage } from '../../src/shared/protocol/inspection.ts'
import type { Checkpoint, StreamConfig } from '../../src/shared/protocol/streams.ts'
import type { Mutation, ShardOptions } from '../../src/shared/protocol/shard.ts'
import type { Disk } from '../../src/workers/disk/disk.ts'
import { inspectFile } from '../../src/workers/inspection/inspect.ts'
import { KeptHeads } from '../../src/workers/inspection/kept-heads.ts'
import { verifyDirectory } from '../../src/workers/inspection/verify.ts'
import { type FlatDisk, flatten } from './flat-disk.ts'
import { Random } from './random.ts'
import { RefusingDisk } from './refusing-disk.ts'
import { Clock, SIMULATED_OPTIONS, SimulatedShard } from './simulated-shard.ts'

/** Small files, so that a test can go through every byte. */
export const SMALL_OPTIONS: ShardOptions = {
  ...SIMULATED_OPTIONS,
  slotBytes: 4 * KIB,
  journalFileBytes: 24 * KIB,
  defaultConfig: { ...STREAM_CONFIG_DEFAULT, maxSegmentBytes: 500 + CHECKPOINT_RECORD_BYTES },
}

export type SmallStore = {
  readonly disk: FlatDisk
  /** Bodies by stream. */
  readonly bodies: ReadonlyMap<string, readonly string[]>
}

/** A server that is running on a store, seen between two moments. */
export class StoreMaker {
  readonly #disk = new RefusingDisk(new Random(7))
  readonly #clock = new Clock()
  readonly #shard: SimulatedShard
  readonly #bodies = new Map<string, string[]>()

  constructor(options: ShardOptions = SMALL_OPTIONS) {
    this.#shard = new SimulatedShard(this.#disk, new Random(8), this.#clock, options)
  }

  append(stream: string, count: number): void {
    const bodies = this.#bodies.get(stream) ?? []
    this.#bodies.set(stream, bodies)
    for (let added = 0; added < count; added += 1) {
      const body = `${stream} ${bodies.length} ${'.'.repeat((bodies.length * 7) % 40)}`
      bodies.push(body)
      this.appendBody(stream, body)
    }
  }

  appendBody(stream: string, body: string): void {
    this.#shard.append(stream, [body], result => {
      if ('error' in result) throw new Error(result.error.detail)
    })
  }

  /** Prefix of stream names whose files cannot be written. */
  refuse(stream: string): void {
    this.#disk.refuse(stream, 'EROFS')
  }

  delete(stream: string): void {
    this.#bodies.delete(stream)
    this.#shard.mutate({ kind: 'delete', stream }, Buffer.alloc(0), () => undefined)
  }

  /** Signs the stream as it is. */
  checkpoint(stream: string): Checkpoint {
    const found: Checkpoint[] = []
    this.#shard.mutate({ kind: 'checkpoint', stream }, Buffer.alloc(0), result => {
      if ('error' in result) throw new Error(result.error.detail)
      found.push(result.value as Checkpoint)
    })
    this.journal()
    return found[0] as Checkpoint
  }

  trim(stream: string, before: number): void {
    this.#shard.mutate({ kind: 'trim', stream, before }, Buffer.alloc(0), () => undefined)
  }

  create(stream: string, config: Partial<StreamConfig>): void {
    this.#change({ kind: 'create', stream, config: { ...SMALL_OPTIONS.defaultConfig, ...config } })
  }

  configure(stream: string, change: Partial<StreamConfig>): void {
    this.#change({ kind: 'configure', stream, change })
  }

  close(stream: string): void {
    this.#change({ kind: 'close', stream })
  }

  #change(mutation: Mutation): void {
    this.#shard.mutate(mutation, Buffer.alloc(0), result => {
      if ('error' in result) throw new Error(result.error.detail)
    })
  }

  /** Everything is durable and in segments. */
  store(): void {
    this.#shard.settle()
  }

  /** Everything is durable, and the idle seal vouches for it, but no journal checkpoint is run. */
  journal(): void {
    for (let turn = 0; turn < 4; turn += 1) {
      this.#shard.advance()
      while (this.#shard.flush() === 'flushed') this.#shard.advance()
      this.#clock.pass(60)
    }
  }

  /** The same, for an append that goes straight to its segment: the checkpointer is let work. */
  journalReference(): void {
    this.#shard.advance()
    while (this.#shard.runJob()) this.#shard.advance()
    this.journal()
  }

  stop(): void {
    this.#shard.stop()
  }

  copy(): SmallStore {
    const disk = flatten(this.#disk.paths(), path => Buffer.from(this.#disk.content(path)))
    const bodies = new Map([...this.#bodies].map(([name, all]) => [name, [...all]]))
    return { disk, bodies }
  }
}

/** Two streams of several segments each, and records of both that only the journal has. */
export function smallStore(): SmallStore {
  const maker = new StoreMaker()
  maker.append('orders', 12)
  maker.append('b/ü', 4)
  maker.store()
  maker.append('orders', 3)
  maker.store()
  maker.append('orders', 3)
  maker.append('new', 2)
  maker.journal()
  return maker.copy()
}

const DIRECT_OPTIONS: ShardOptions = {
  ...SMALL_OPTIONS,
  directBytes: 500,
  checkpointIntervalMs: 5000,
  defaultConfig: { ...SMALL_OPTIONS.defaultConfig, maxSegmentBytes: 4000 },
}

/**
 * One record in a segment by a journal checkpoint, and no other due for long; appends of more than
 * 500 bytes go straight to their segment.
 */
export function directStore(): StoreMaker {
  const maker = new StoreMaker(DIRECT_OPTIONS)
  maker.appendBody('orders', 'stored')
  for (let round = 0; round < 6; round += 1) maker.store()
  return maker
}

/** Record 1 is in a segment and in the journal, 2 in a segment by reference, 3 in the journal. */
export function referencedStore(): FlatDisk {
  const maker = directStore()
  maker.appendBody('orders', 'journaled')
  maker.journal()
  maker.appendBody('orders', 'x'.repeat(1500))
  maker.journalReference()
  maker.appendBody('orders', 'behind')
  maker.journal()
  return maker.copy().disk
}

/** Records 0 and 1 of `orders` are in a segment, 2 and 3 are unwritten, in the catalogue. */
export function unwrittenStore(): FlatDisk {
  const maker = new StoreMaker(DIRECT_OPTIONS)
  maker.append('orders', 2)
  maker.append('others', 2)
  maker.store()
  maker.refuse('orders')
  maker.append('orders', 2)
  maker.append('others', 2)
  maker.stop()
  return maker.copy().disk
}

export type Verified = {
  readonly report: Extract<InspectionMessage, { kind: 'report' }> | undefined
  readonly findings: readonly Finding[]
  readonly damages: readonly Finding[]
  readonly notes: readonly Finding[]
}

export function verifyStore(disk: Disk, heads = new KeptHeads([], [])): Verified {
  const findings: Finding[] = []
  let report: Verified['report']
  verifyDirectory(disk, heads, message => {
    if (message.kind === 'report') report = message
    if (message.kind !== 'finding') return
    const { kind: _, ...finding } = message
    findings.push(finding)
  })
  return {
    report,
    findings,
    damages: findings.filter(({ severity }) => severity === 'damage'),
    notes: findings.filter(({ severity }) => severity === 'note'),
  }
}

/** The lines and findings of one file. */
export function inspectStored(disk: Disk, path: string): { lines: string[]; findings: Finding[] } {
  const lines: string[] = []
  const findings: Finding[] = []
  inspectFile(disk, path, message => {
    if (message.kind === 'line') lines.push(message.text)
    if (message.kind === 'finding') findings.push(message)
  })
  return { lines, findings }
}

/** Path of the `index`-th segment of a stream, counted from 0, or from the end if negative. */
export function segmentOf(disk: FlatDisk, readable: string, index: number): string {
  const found = disk.paths().filter(path => path.includes(`/${readable}-`) && path.endsWith('.log'))
  return found.at(index) as string
}

export type RecordPlace = { readonly offset: number; readonly at: number; readonly end: number }

/** Where the whole data records of a segment lie. */
export function recordsIn(bytes: Buffer): RecordPlace[] {
  return placesIn(bytes, RecordKind.Data)
}

/** Where the whole checkpoints of a segment lie. */
export function checkpointsIn(bytes: Buffer): RecordPlace[] {
  return placesIn(bytes, RecordKind.Checkpoint)
}

function placesIn(bytes: Buffer, kind: RecordKind): RecordPlace[] {
  const found: RecordPlace[] = []
  for (let at = 0; at < bytes.length; ) {
    const record = decodeRecord(bytes, at)
    if (record === undefined) break
    if (record.kind === kind) found.push({ offset: record.offset, at, end: record.end })
    at = record.end
  }
  return found
}

/** Makes the checksum of the record at `at` fit what it holds now. */
export function forgeChecksum(bytes: Buffer, at: number): void {
  const checksumAt = at + claimedRecordBytes(bytes, at) - 8
  bytes.writeUInt32LE(crc32(bytes.subarray(at, checksumAt)), checksumAt)
}

/** Gives the record at `at` another offset, and a checksum that fits. */
export function forgeOffset(bytes: Buffer, at: number, offset: number): void {
  bytes.writeUInt32LE(offset, at + RECORD_LAYOUT.offset[0])
  forgeChecksum(bytes, at)
}
