import { crash } from '../../src/shared/assert.ts'
import { segmentNumber, streamPath } from '../../src/shared/format/paths.ts'
import { expandRecord } from '../../src/shared/format/expand.ts'
import type {
  CheckpointPage,
  Durability,
  Producer,
  ReadVerify,
  StreamDamage,
} from '../../src/shared/protocol/streams.ts'
import { listCheckpoints } from '../../src/workers/streams/checkpoint-list.ts'
import { encodeBatchItemHeader } from '../../src/shared/format/batch.ts'
import { PAGE_BYTES, STREAM_CONFIG_DEFAULT } from '../../src/shared/limits.ts'
import {
  createJournalMemory,
  type DirectIo,
  FailureCode,
  hasReached,
  type JournalMemory,
  Word,
} from '../../src/shared/memory/journal-memory.ts'
import type {
  Mutation,
  MutationResult,
  ReadPlan,
  ShardEvent,
  ShardStats,
  ShardOptions,
} from '../../src/shared/protocol/shard.ts'
import { StoreError } from '../../src/shared/errors.ts'
import { Signer } from '../../src/shared/signing.ts'
import { planRead } from '../../src/workers/engine/read-planner.ts'
import { TrustedClock } from '../../src/workers/engine/trusted-clock.ts'
import { ShardEngine } from '../../src/workers/engine/shard-engine.ts'
import { tryDirectIo } from '../../src/workers/disk/direct-io.ts'
import type { Environment } from '../../src/workers/environment.ts'
import { BlockWriter, type Step } from '../../src/workers/journal/block-writer.ts'
import type { EncodeCounters } from '../../src/workers/journal/encode-meter.ts'
import { LogBuffer } from '../../src/workers/journal/log-buffer.ts'
import { openDataDirectory } from '../../src/workers/recovery/data-directory.ts'
import { type RecoveredShard, recoverShard } from '../../src/workers/recovery/open-shard.ts'
import { loadSigningKey } from '../../src/workers/streams/key-files.ts'
import { readStream } from '../../src/workers/streams/read-stream.ts'
import type { Random } from './random.ts'
import type { Clock } from './simulated-clock.ts'
import type { SimulatedDisk } from './simulated-disk.ts'
import { type JobEnd, SimulatedWriteBack } from './simulated-write-back.ts'
export { Clock } from './simulated-clock.ts'
const KIB = 1024
/** Space that the engine takes a hash over, before the first batch. */
const HEADROOM_BYTES = 96
/** A full disk would keep a shard waiting for ever. */
const TURNS_MAX = 5000

export const SIMULATED_OPTIONS: ShardOptions = {
  slotBytes: 8 * KIB,
  journalFileBytes: 64 * KIB,
  journalBytesMax: 256 * KIB,
  checkpointIntervalMs: 1000,
  retentionIntervalMs: 1000,
  flushDelayMs: 0,
  flushOperationsMax: 0,
  relaxedFlushMs: 200,
  diskReserveBytes: 0,
  stallMs: 1e9,
  trustClock: false,
  directIo: false,
  streamsMax: 1000,
  producerExpirySeconds: 86_400,
  directBytes: 4 * KIB,
  autoCreate: true,
  defaultConfig: { ...STREAM_CONFIG_DEFAULT, maxSegmentBytes: 8 * KIB },
}

/** Of every simulated shard that is not given another. */
const SIGNER = Signer.fromSeed('s'.repeat(32))

/**
 * Signs in no time, for histories that are not about signatures: what it signs does not verify.
 */
export const STUB_SIGNER = {
  keyId: SIGNER.keyId,
  publicKey: SIGNER.publicKey,
  sign: () => 'stub'.repeat(16),
} as unknown as Signer

export type AppendOptions = {
  readonly expectedOffset?: number | undefined
  readonly producer?: Producer | undefined
  readonly durability?: Durability | undefined
}

/** A mutation on its way: answered in the log buffer, released once durable. */
type Waiting = { readonly pages: number; readonly release: () => void }

/** What a reader is shown of a stream. */
export type ShownStream = { firstOffset: number; bodies: string[]; isClosed: boolean }

/** Which shard it is, of how many. */
export type Place = { readonly shard: number; readonly shards: number }

/** The real engine, flusher and checkpointer of one shard, in one thread, on a simulated disk. */
export class SimulatedShard {
  readonly disk: SimulatedDisk
  readonly recovered: RecoveredShard
  // What the engine has said.
  readonly logged: Extract<ShardEvent, { kind: 'log' }>[] = []
  readonly damage: StreamDamage[] = []
  unwritten: readonly StreamDamage[] = []
  readonly #random: Random
  readonly #clock: Clock
  readonly #memory: JournalMemory
  readonly #external: Buffer[] = []
  readonly #writer: BlockWriter
  readonly #engine: ShardEngine | undefined
  #buffer: LogBuffer | undefined
  readonly #writeBack: SimulatedWriteBack
  #waiting: Waiting[] = []

  constructor(
    disk: SimulatedDisk,
    random: Random,
    clock: Clock,
    options: ShardOptions = SIMULATED_OPTIONS,
    interruptChance = 0,
    { shard, shards }: Place = { shard: 0, shards: 1 },
    signer: Signer = SIGNER,
  ) {
    this.disk = disk
    this.#random = random
    this.#clock = clock
    const environment = clock.environment(random)
    openDataDirectory(disk, environment, shards)
    if (shard === 0 && signer !== STUB_SIGNER) loadSigningKey(disk, environment, signer.toPem())
    this.recovered = recoverShard(disk, environment, shard, options)
    this.#writeBack = new SimulatedWriteBack(disk, shard, random, this.recovered.copyFaults)
    this.#memory = createJournalMemory(options.slotBytes)
    if (options.directIo && this.recovered.journal !== null) tryDirectIo(disk, shard, this.#memory)
    this.#writer = new BlockWriter(this.#memory, disk, environment, shard, () =>
      this.#takeExternal(),
    )
    if (this.recovered.journal === null) return
    const capacity = options.journalFileBytes - PAGE_BYTES
    const buffer = new LogBuffer(
      this.#memory,
      capacity,
      this.recovered.journal,
      block => this.#external.push(Buffer.from(block)),
      () => environment.monotonicMs(),
    )
    this.#buffer = buffer
    this.#engine = new ShardEngine({
      ...this.recovered,
      clock: new TrustedClock(environment, this.recovered.checkpoint.clockMicros, message =>
        this.logged.push({ kind: 'log', level: 'warn', message, fields: {} }),
      ),
      shard,
      options,
      environment: this.#interrupted(environment, interruptChance),
      signer,
      memory: this.#memory,
      buffer,
      freeBytes: () => disk.freeBytes(),
      postJob: job => this.#writeBack.post(job),
      emit: event => {
        if (event.kind === 'log') this.logged.push(event)
        if (event.kind === 'damage') this.damage.push(event.damage)
        if (event.kind === 'unwritten') this.unwritten = event.damage
      },
    })
  }

  stats(): ShardStats {
    if (this.#engine === undefined) throw new Error(`refused: ${this.recovered.refused}`)
    return this.#engine.stats()
  }

  /** How long the engine wants to be left alone, ms. */
  get quietMs(): number {
    const { deadline = Number.POSITIVE_INFINITY } = this.#engine ?? {}
    return deadline - this.#clock.environment(this.#random).monotonicMs()
  }

  /** @throws StoreError as the engine does */
  watch(stream: string): void {
    this.#engine?.watch(stream, 1)
  }

  get hasFailed(): boolean {
    return Atomics.load(this.#memory.words, Word.failure) !== FailureCode.None
  }

  get encodeCounters(): EncodeCounters {
    if (this.#buffer === undefined) throw new Error(`refused: ${this.recovered.refused}`)
    return this.#buffer.encodeCounters
  }

  get directIo(): DirectIo {
    return Atomics.load(this.#memory.words, Word.directIo) as DirectIo
  }

  /**
   * Sends mutations; `settled` is called with the result of each once it is durable, or with the
   * refusal.
   * @param isEager whose result is not waited for to be durable: for tests that want this noticed
   */
  send(
    mutations: readonly Mutation[],
    bytes: Buffer,
    settled: (at: number, result: MutationResult) => void,
    isEager: (mutation: Mutation) => boolean = () => false,
  ): void {
    if (this.#engine === undefined) throw new Error(`refused: ${this.recovered.refused}`)
    const answer = (at: number, result: MutationResult) => {
      const isEarly = isEager(mutations[at] as Mutation)
      const isRelaxed = 'relaxed' in result && result.relaxed
      const { pages } = result
      const durable = Atomics.load(this.#memory.words, Word.durablePages)
      const isDurable = pages === undefined || hasReached(durable, pages)
      if (isDurable || isRelaxed || isEarly) settled(at, result)
      else this.#waiting.push({ pages, release: () => settled(at, result) })
    }
    this.#engine.mutate(mutations, bytes, answer, () => undefined)
  }

  mutate(mutation: Mutation, bytes: Buffer, settled: (result: MutationResult) => void): void {
    this.send([mutation], bytes, (_, result) => settled(result))
  }

  append(
    stream: string,
    bodies: readonly string[],
    settled: (result: MutationResult) => void,
    { expectedOffset, producer, durability }: AppendOptions = {},
  ): void {
    const batch = encodeTexts(bodies)
    const { length } = batch
    const count = bodies.length
    const at = HEADROOM_BYTES
    const bytes = Buffer.concat([Buffer.alloc(at), batch])
    const mutation = { kind: 'append', stream, at, length, count, expectedOffset } as const
    this.mutate({ ...mutation, durability, producer }, bytes, settled)
  }

  /** Appends to several streams, all or nothing. */
  transact(
    transaction: number,
    parts: ReadonlyMap<string, readonly string[]>,
    settled: (result: MutationResult) => void,
  ): void {
    const batches = [...parts].map(([stream, bodies]) => ({ stream, batch: encodeTexts(bodies) }))
    const bytes = Buffer.concat([
      Buffer.alloc(HEADROOM_BYTES),
      ...batches.map(({ batch }) => batch),
    ])
    let at = HEADROOM_BYTES
    const appends = batches.map(({ stream, batch: { length } }) => {
      const count = parts.get(stream)?.length ?? 0
      at += length
      return { stream, at: at - length, length, count, expectedOffset: undefined }
    })
    this.mutate({ kind: 'transact', transaction, appends }, bytes, settled)
  }

  remove(stream: string, settled: (result: MutationResult) => void): void {
    this.mutate({ kind: 'delete', stream }, Buffer.alloc(0), settled)
  }

  /** Lets one thing happen, chosen by the random source. */
  step(): void {
    const choice = this.#random.below(10)
    if (choice < 5) this.flush()
    else if (choice < 7) this.#take(this.#writeBack.step())
    else if (choice < 9) this.#clock.pass(this.#random.below(60))
    this.advance()
  }

  flush(): Step {
    return this.#writer.isBusy || !this.hasFailed ? this.#writer.step() : 'failed'
  }

  /** Returns whether it did something: looking whether retention lets go happens all the time. */
  runJob(): boolean {
    const end = this.#writeBack.run()
    this.#take(end)
    return end !== undefined && end.kind !== 'retention'
  }

  #take(end: JobEnd | undefined): void {
    if (end !== undefined) this.#engine?.onResult(end.result)
  }

  advance(): void {
    this.#engine?.advance()
    const durable = Atomics.load(this.#memory.words, Word.durablePages)
    const released = this.#waiting.filter(({ pages }) => hasReached(durable, pages))
    this.#waiting = this.#waiting.filter(({ pages }) => !hasReached(durable, pages))
    for (const { release } of released) release()
  }

  /** Everything that can happen by itself happens, as far as the disk lets it. */
  settle(): void {
    for (let quiet = 0, turn = 0; quiet < 3 && turn < TURNS_MAX && !this.hasFailed; turn += 1) {
      const moved = this.flush() === 'flushed' || this.runJob()
      this.#clock.pass(300)
      this.advance()
      quiet = moved || this.#waiting.length > 0 ? 0 : quiet + 1
    }
  }

  stop(): void {
    this.#engine?.stop().catch(crash)
    this.settle()
  }

  /** Bodies of a stream's durable records, read back and verified, from the first on if asked. */
  read(stream: string, verify: ReadVerify = 'genesis'): string[] {
    return this.show(stream, verify).bodies
  }

  /** The same, and where they begin. */
  show(stream: string, verify: ReadVerify = 'genesis'): ShownStream {
    const plan = this.#plan(stream)
    if (plan === undefined) return { firstOffset: 0, bodies: [], isClosed: false }
    const { selection, isManifestStale } = readStream(this.disk, plan, {
      from: 'start',
      direction: 'forward',
      limit: 1e9,
      maxBytes: 1e9,
      verify,
      encoding: 'json',
    })
    if (isManifestStale) this.#engine?.relist(stream, plan.streamId)
    const bodies = selection.records.map(located => {
      const { bytes, record } = expandRecord(located)
      return bytes.utf8Slice(record.bodyAt, record.bodyEnd)
    })
    const isClosed = this.recovered.table.durable(stream)?.durableState === 'closed'
    return { firstOffset: plan.firstOffset, bodies, isClosed }
  }

  checkpoints(stream: string, from: number, limit: number): CheckpointPage {
    const plan = this.#plan(stream)
    if (plan === undefined) return { checkpoints: [], next: null }
    return listCheckpoints(this.disk, plan, from, limit)
  }

  /** Numbers of the segments whose files are there. */
  segmentNumbers(stream: string): number[] {
    const id = this.recovered.table.durable(stream)?.id ?? ''
    return this.disk
      .list(streamPath(stream, id))
      .filter(name => name.endsWith('.log'))
      .map(name => segmentNumber(name) as number)
  }

  /** Of all that is kept; undefined where there is no such stream. */
  #plan(stream: string): ReadPlan | undefined {
    this.#engine?.catchUp()
    const log = this.recovered.table.durable(stream)
    if (log === undefined) return undefined
    const bounds = { limit: 1e9, maxBytes: 1e9, since: undefined }
    return planRead(log, {
      from: 'start',
      direction: 'forward',
      ...bounds,
      wholeTail: true,
      fromCheckpoint: false,
    })
  }

  /** The flusher is a thread of its own: it may end a flush at any moment of the engine's. */
  #interrupted(environment: Environment, chance: number): Environment {
    return {
      ...environment,
      nowMicros: () => {
        if (chance > 0 && this.#random.chance(chance)) this.flush()
        return environment.nowMicros()
      },
    }
  }

  #takeExternal(): Buffer {
    const block = this.#external.shift()
    if (block === undefined) throw new StoreError('internal', 'no oversize block was sent')
    return block
  }
}

/** Text records in the batch encoding. */
export function encodeTexts(bodies: readonly string[]): Buffer {
  return Buffer.concat(
    bodies.map(body => {
      const item = Buffer.alloc(8 + Buffer.byteLength(body))
      encodeBatchItemHeader(item, 0, 2, 0, item.length - 8)
      item.write(body, 8)
      return item
    }),
  )
}
