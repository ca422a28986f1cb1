import { Worker } from 'node:worker_threads'
import { assert, crash } from '../../shared/assert.ts'
import { StoreError } from '../../shared/errors.ts'
import { latin1ToHex } from '../../shared/format/bytes.ts'
import { streamPath } from '../../shared/format/paths.ts'
import { PAGE_BYTES } from '../../shared/limits.ts'
import { whenChanged } from '../../shared/memory/doorbell.ts'
import {
  createJournalMemory,
  FailureCode,
  type JournalMemory,
  Word,
} from '../../shared/memory/journal-memory.ts'
import type { CheckpointerJob, CheckpointerResult } from '../../shared/protocol/checkpointer.ts'
import type {
  Mutation,
  MutationReply,
  ShardEvent,
  ShardOpened,
  ShardRead,
  ShardRequest,
} from '../../shared/protocol/shard.ts'
import type { CheckpointerData } from '../checkpointer.ts'
import { Signer } from '../../shared/signing.ts'
import { explainDirectIo, tryDirectIo } from '../disk/direct-io.ts'
import { DiskError } from '../disk/disk.ts'
import { NodeDisk } from '../disk/node-disk.ts'
import { systemEnvironment } from '../environment.ts'
import type { FlusherData, FlusherMessage } from '../flusher.ts'
import { LogBuffer } from '../journal/log-buffer.ts'
import { type BegunShard, ShardRecovery } from '../recovery/open-shard.ts'
import type { StreamLog } from '../streams/stream-log.ts'
import { publicKeysById } from '../streams/checkpoint-check.ts'
import { listPublicKeys } from '../streams/key-files.ts'
import { TrustedClock } from './trusted-clock.ts'
import { ShardEngine } from './shard-engine.ts'
import { Watchers, type WatchStart } from './watchers.ts'
import { IncompleteStreams, VisibleStreams } from './visible-streams.ts'

type LogFields = Extract<ShardEvent, { kind: 'log' }>['fields']
type OpenRequest = Extract<ShardRequest, { kind: 'open' }>
type ReindexRequest = Extract<ShardRequest, { kind: 'reindex' }>

const NO_DIRECT_IO = 'no direct I/O: the journal goes through the page cache'
const NO_ROOM = 'there is no room on the disk for a journal file: free some; the shard then starts'
const READ_ONLY =
  'the journal or the catalogue is damaged, so the shard only serves reads; ' +
  'stop the service and run varve repair'

/** Longest a timer can be, ms. */
const TIMER_MS_MAX = 2 ** 31 - 1

/** Runs an engine with its flusher, its write-back thread, and the timers and wake-ups. */
export class Shard {
  readonly #request: OpenRequest
  readonly #disk: NodeDisk
  readonly #memory: JournalMemory
  readonly #recovery: ShardRecovery
  #streams: VisibleStreams | IncompleteStreams | undefined
  #engine: ShardEngine | undefined
  #checkpointer: Worker | undefined
  #timer: NodeJS.Timeout | undefined
  #laterCount = 0
  /** Streams by watch, of those that began before there was an engine to announce anything. */
  readonly #earlyWatches = new Map<number, string>()

  /** Reads the shard, and writes nothing. @throws DiskError @throws JournalDamage */
  constructor(request: OpenRequest) {
    this.#request = request
    const { data, shard, options } = request
    this.#disk = new NodeDisk(data)
    this.#recovery = ShardRecovery.read(this.#disk, systemEnvironment, shard, options)
    this.#memory = createJournalMemory(options.slotBytes)
  }

  /** What was read. */
  get read(): ShardRead {
    return { ends: this.#recovery.ends }
  }

  /**
   * Lets the streams be read, and begins to take changes if there is room for a journal file; may
   * be called again until there is. @param lost why the journal is refused by what others say
   * @throws DiskError
   */
  begin(lost: string | null): ShardOpened {
    if (lost !== null && this.#recovery.refused === null) this.#recovery.refuse(lost)
    const { memory } = this.#memory
    const { refused, state } = this.#recovery
    if (this.#streams === undefined) {
      if (refused === null) this.#recovery.settle()
      for (const log of state.table.all()) this.#announceFault(log)
      const { keys } = listPublicKeys(this.#disk, undefined)
      state.table.trust(publicKeysById(keys), log => this.#announceFault(log))
      this.#emit({ kind: 'unwritten', damage: state.checkpoint.unwritten })
      this.#streams =
        refused === null ? new VisibleStreams(state.table) : new IncompleteStreams(state.table)
    }
    const closed = { memory, report: null, refused, waiting: null, transactions: null }
    if (refused !== null) return closed
    try {
      const begun = this.#recovery.begin()
      this.#run(begun)
      for (const damage of begun.damage) this.#emit({ kind: 'damage', damage })
      const { report, transactions } = begun
      return { memory, report, refused: null, waiting: null, transactions }
    } catch (error) {
      if (!(error instanceof DiskError) || !error.isForSpace || error.isSync) throw error
      return { ...closed, waiting: NO_ROOM }
    }
  }

  #run(begun: BegunShard): void {
    const { shard, options } = this.#request
    if (options.directIo) this.#tryDirectIo(this.#disk)
    const flusher = this.#startFlusher()
    this.#checkpointer = this.#startCheckpointer(begun)
    const capacity = options.journalFileBytes - PAGE_BYTES
    const buffer = new LogBuffer(
      this.#memory,
      capacity,
      begun.journal,
      block => flusher.postMessage(block),
      () => systemEnvironment.monotonicMs(),
    )
    const { state } = this.#recovery
    const lastMicros = options.trustClock ? undefined : state.checkpoint.clockMicros
    const engine = new ShardEngine({
      ...state,
      clock: new TrustedClock(systemEnvironment, lastMicros, (message, aheadSeconds) =>
        this.#log('warn', message, { aheadSeconds }),
      ),
      shard,
      options,
      environment: systemEnvironment,
      signer: signerOf(this.#request.signingKey),
      memory: this.#memory,
      buffer,
      freeBytes: () => this.#disk.freeBytes(),
      postJob: job => this.#post(job),
      emit: event => this.#emit(event),
    })
    this.#engine = engine
    for (const [watch, stream] of this.#earlyWatches) engine.watch(stream, watch)
    this.#earlyWatches.clear()
    this.#watchFlushes(engine).catch(crash)
  }

  /** The streams, with all records that are durable by now. */
  get streams(): VisibleStreams | IncompleteStreams {
    this.#engine?.catchUp()
    assert(this.#streams !== undefined, 'nothing is read before the shard has begun')
    return this.#streams
  }

  /** The engine. @throws StoreError shard_failed, disk_full while the shard only reads */
  get engine(): ShardEngine {
    if (this.#engine !== undefined) return this.#engine
    const outcome = { outcome: 'not_applied' }
    if (this.#recovery.refused === null) throw new StoreError('disk_full', NO_ROOM, outcome)
    throw new StoreError('shard_failed', READ_ONLY, outcome)
  }

  /** Resolves when each of the mutations is answered, or waits for a transaction. */
  mutate(mutations: readonly Mutation[], bytes: Uint8Array): Promise<MutationReply[]> {
    return new Promise(resolve => {
      const replies: MutationReply[] = []
      let open = mutations.length
      const reply = (at: number, value: MutationReply) => {
        replies[at] = value
        open -= 1
        if (open === 0) resolve(replies)
      }
      const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
      this.engine.mutate(
        mutations,
        source,
        (at, result) => {
          const known = replies[at]
          if (known === undefined) reply(at, result)
          else if ('later' in known) this.#emit({ kind: 'answer', ...known, result })
        },
        at => {
          if (replies[at] !== undefined) return // parked again: it has its number already
          this.#laterCount += 1
          reply(at, { later: this.#laterCount })
        },
      )
      this.#setTimer()
    })
  }

  /** Begins a watch. While the shard waits for room it announces nothing but a closed stream. */
  watch(stream: string, watch: number): WatchStart {
    if (this.#engine !== undefined) return this.#engine.watch(stream, watch)
    const { refused, state } = this.#recovery
    if (refused !== null) return this.streams.end(stream)
    const watchers = new Watchers(event => this.#emit(event))
    const start = watchers.add(watch, state.table.durable(stream))
    this.#earlyWatches.set(watch, stream)
    return start
  }

  unwatch(watch: number): void {
    this.#earlyWatches.delete(watch)
    this.#engine?.unwatch(watch)
  }

  reindex({ stream, streamId, segment, firstOffset, bytes }: ReindexRequest): void {
    const directory = streamPath(stream, streamId)
    this.#post({ kind: 'reindex', directory, segment, firstOffset, bytes })
  }

  /** A shard that only reads writes no manifest. */
  relist(stream: string, streamId: string): void {
    this.#engine?.relist(stream, streamId)
    this.#setTimer()
  }

  async stop(): Promise<void> {
    const stopped = this.#engine?.stop()
    this.#setTimer()
    await stopped
    clearTimeout(this.#timer)
    await this.#checkpointer?.terminate()
  }

  #startFlusher(): Worker {
    const { data, shard, options } = this.#request
    const { slotBytes } = options
    const workerData: FlusherData = { memory: this.#memory.memory, slotBytes, data, shard }
    const flusher = new Worker(new URL('../flusher.js', import.meta.url), { workerData })
    flusher.on('message', ({ kind, reason, errno }: FlusherMessage) => {
      if (kind === 'failed') this.#log('error', 'a write or sync of the journal failed', { reason })
      else this.#log('warn', NO_DIRECT_IO, { errno, reason })
    })
    this.#watchThread(flusher, 'flusher')
    return flusher
  }

  /** Turns direct I/O on or off for the flusher, which is not started yet. */
  #tryDirectIo(disk: NodeDisk): void {
    const error = tryDirectIo(disk, this.#request.shard, this.#memory)
    if (error === undefined) return
    this.#log('warn', NO_DIRECT_IO, { errno: error.code, reason: explainDirectIo(error) })
  }

  #startCheckpointer({ copyFaults }: BegunShard): Worker {
    const { data, shard } = this.#request
    const workerData: CheckpointerData = { data, shard, copyFaults }
    const checkpointer = new Worker(new URL('../checkpointer.js', import.meta.url), { workerData })
    checkpointer.on('message', (result: CheckpointerResult) => {
      this.#engine?.onResult(result)
      this.#setTimer()
    })
    this.#watchThread(checkpointer, 'write-back')
    return checkpointer
  }

  /** Fails the engine when a thread dies, or exits without an error while the engine runs. */
  #watchThread(thread: Worker, name: string): void {
    const fail = (reason: string) => {
      const engine = this.#engine
      engine?.advance() // takes a failed write or sync, noted in shared memory, as the reason
      if (engine?.isOver === false) engine.fail(FailureCode.Thread, reason)
    }
    thread.on('error', error => fail(`the ${name} thread died: ${error}`))
    thread.on('exit', code => fail(`the ${name} thread exited with code ${code}`))
  }

  #post(job: CheckpointerJob): void {
    this.#checkpointer?.postMessage(job)
  }

  #emit(event: ShardEvent): void {
    this.#request.events.postMessage(event)
  }

  /** Announces a stream whose name or state is not what was signed. */
  #announceFault({
    name: stream,
    id,
    fault,
    durableFirstOffset,
    durableNextOffset,
  }: StreamLog): void {
    if (typeof fault !== 'string') return
    const range = { firstOffset: durableFirstOffset, nextOffset: durableNextOffset }
    const damage = { stream, streamId: latin1ToHex(id), ...range, reason: fault }
    this.#emit({ kind: 'damage', damage })
  }

  #log(level: 'warn' | 'error', message: string, fields: LogFields): void {
    this.#emit({ kind: 'log', level, message, fields })
  }

  async #watchFlushes(engine: ShardEngine): Promise<void> {
    const { words } = this.#memory
    for (;;) {
      const seen = Atomics.load(words, Word.flushed) // before the engine looks
      engine.advance()
      this.#setTimer()
      if (engine.isOver) return
      await whenChanged(words, Word.flushed, seen)
    }
  }

  #setTimer(): void {
    clearTimeout(this.#timer)
    const deadline = this.#engine?.deadline
    if (deadline === undefined) return
    const delay = Math.max(0, Math.ceil(deadline - systemEnvironment.monotonicMs()))
    this.#timer = setTimeout(
      () => {
        this.#engine?.advance()
        this.#setTimer()
      },
      Math.min(delay, TIMER_MS_MAX),
    )
  }
}

function signerOf(pem: string): Signer {
  const signer = Signer.fromPem(pem)
  assert(signer !== undefined, 'the key was checked when it was loaded')
  return signer
}
