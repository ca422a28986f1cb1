import { crash } from '../../src/shared/assert.ts'
import { encodeBatchItemHeader } from '../../src/shared/format/batch.ts'
import { PAGE_BYTES } from '../../src/shared/limits.ts'
import {
  createJournalMemory,
  FailureCode,
  hasReached,
  type JournalMemory,
  Word,
} from '../../src/shared/memory/journal-memory.ts'
import type { CheckpointerJob } from '../../src/shared/protocol/checkpointer.ts'
import type { Mutation, MutationResult, ShardOptions } from '../../src/shared/protocol/shard.ts'
import { StoreError } from '../../src/shared/errors.ts'
import { planRead } from '../../src/workers/engine/read-planner.ts'
import { ShardEngine } from '../../src/workers/engine/shard-engine.ts'
import type { Environment } from '../../src/workers/environment.ts'
import { BlockWriter, type Step } from '../../src/workers/journal/block-writer.ts'
import { LogBuffer } from '../../src/workers/journal/log-buffer.ts'
import { openDataDirectory } from '../../src/workers/recovery/data-directory.ts'
import { type RecoveredShard, recoverShard } from '../../src/workers/recovery/open-shard.ts'
import { runJob } from '../../src/workers/streams/checkpointer-job.ts'
import { readStream } from '../../src/workers/streams/read-stream.ts'
import type { Random } from './random.ts'
import type { SimulatedDisk } from './simulated-disk.ts'

const KIB = 1024
/** Space that the engine takes a hash over, before the first batch. */
const HEADROOM_BYTES = 96

export const SIMULATED_OPTIONS: ShardOptions = {
  slotBytes: 8 * KIB,
  journalFileBytes: 64 * KIB,
  journalBytesMax: 256 * KIB,
  checkpointIntervalMs: 1000,
  flushDelayMs: 0,
  flushOperationsMax: 0,
  relaxedFlushMs: 200,
  diskReserveBytes: 0,
  stallMs: 1e9,
  streamsMax: 1000,
  autoCreate: true,
  defaultConfig: { durability: 'group', maxSegmentBytes: 8 * KIB },
}

/** A mutation on its way: answered in the log buffer, released once durable. */
type Waiting = { readonly pages: number; readonly release: () => void }

/** The real engine, flusher and checkpointer of one shard, in one thread, on a simulated disk. */
export class SimulatedShard {
  readonly disk: SimulatedDisk
  readonly recovered: RecoveredShard
  readonly #random: Random
  readonly #clock: Clock
  readonly #memory: JournalMemory
  readonly #external: Buffer[] = []
  readonly #writer: BlockWriter
  readonly #engine: ShardEngine | undefined
  readonly #jobs: CheckpointerJob[] = []
  #waiting: Waiting[] = []

  constructor(
    disk: SimulatedDisk,
    random: Random,
    clock: Clock,
    options: ShardOptions = SIMULATED_OPTIONS,
    interruptChance = 0,
  ) {
    this.disk = disk
    this.#random = random
    this.#clock = clock
    const environment = clock.environment(random)
    openDataDirectory(disk, environment, 1)
    this.recovered = recoverShard(disk, environment, 0, options)
    this.#memory = createJournalMemory(options.slotBytes)
    this.#writer = new BlockWriter(this.#memory, disk, environment, 0, () => this.#takeExternal())
    if (this.recovered.journal === null) return
    const capacity = options.journalFileBytes - PAGE_BYTES
    const buffer = new LogBuffer(this.#memory, capacity, this.recovered.journal, block =>
      this.#external.push(Buffer.from(block)),
    )
    this.#engine = new ShardEngine({
      ...this.recovered,
      shard: 0,
      options,
      environment: this.#interrupted(environment, interruptChance),
      memory: this.#memory,
      buffer,
      freeBytes: () => disk.freeBytes(),
      postJob: job => this.#jobs.push(job),
      emit: () => undefined,
    })
  }

  get hasFailed(): boolean {
    return Atomics.load(this.#memory.words, Word.failure) !== FailureCode.None
  }

  /**
   * Sends a mutation; `settled` is called with its result once it is durable, or with the refusal.
   */
  mutate(mutation: Mutation, bytes: Buffer, settled: (result: MutationResult) => void): void {
    if (this.#engine === undefined) throw new Error(`refused: ${this.recovered.refused}`)
    this.#engine.mutate([mutation], bytes, (_, result) => {
      if ('error' in result || result.relaxed) settled(result)
      else this.#waiting.push({ pages: result.pages, release: () => settled(result) })
    })
  }

  append(
    stream: string,
    bodies: readonly string[],
    settled: (result: MutationResult) => void,
    expectedOffset?: number,
  ): void {
    const batch = encodeTexts(bodies)
    const { length } = batch
    const count = bodies.length
    const at = HEADROOM_BYTES
    const bytes = Buffer.concat([Buffer.alloc(at), batch])
    const mutation = { kind: 'append', stream, at, length, count } as const
    this.mutate({ ...mutation, expectedOffset, durability: undefined }, bytes, settled)
  }

  remove(stream: string, settled: (result: MutationResult) => void): void {
    this.mutate({ kind: 'delete', stream }, Buffer.alloc(0), settled)
  }

  /** Lets one thing happen, chosen by the random source. */
  step(): void {
    const choice = this.#random.below(10)
    if (choice < 5) this.flush()
    else if (choice < 6) this.runJob()
    else if (choice < 8) this.#clock.pass(this.#random.below(60))
    this.advance()
  }

  flush(): Step {
    return this.#writer.isBusy || !this.hasFailed ? this.#writer.step() : 'failed'
  }

  runJob(): boolean {
    const job = this.#jobs.shift()
    if (job === undefined) return false
    this.#engine?.onResult(runJob(this.disk, 0, job))
    return true
  }

  advance(): void {
    this.#engine?.advance()
    const durable = Atomics.load(this.#memory.words, Word.durablePages)
    const released = this.#waiting.filter(({ pages }) => hasReached(durable, pages))
    this.#waiting = this.#waiting.filter(({ pages }) => !hasReached(durable, pages))
    for (const { release } of released) release()
  }

  /** Everything that can happen by itself happens. */
  settle(): void {
    for (let quiet = 0; quiet < 3 && !this.hasFailed; ) {
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

  /** Bodies of a stream's durable records, read back and verified from the first on. */
  read(stream: string): string[] {
    this.#engine?.catchUp()
    const log = this.recovered.table.durable(stream)
    if (log === undefined) return []
    const bounds = { limit: 1e9, maxBytes: 1e9, since: undefined }
    const plan = planRead(log, { from: 'start', direction: 'forward', ...bounds, wholeTail: true })
    const { selection } = readStream(this.disk, plan, {
      from: 'start',
      direction: 'forward',
      limit: 1e9,
      maxBytes: 1e9,
      verify: 'genesis',
      encoding: 'json',
    })
    return selection.records.map(({ bytes, record }) =>
      bytes.utf8Slice(record.bodyAt, record.bodyEnd),
    )
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

/** Time that passes only when told to. */
export class Clock {
  #ms = 1_000_000

  pass(ms: number): void {
    this.#ms += ms
  }

  environment(random: Random): Environment {
    return {
      nowMicros: () => this.#ms * 1000,
      monotonicMs: () => this.#ms,
      randomBytes: count => random.bytes(count),
    }
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
