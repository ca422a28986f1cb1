import { setTimeout } from 'node:timers/promises'
import { type MessagePort, MessageChannel } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { crash } from '../../shared/assert.ts'
import { StoreError } from '../../shared/errors.ts'
import { FailureCode, viewJournalMemory } from '../../shared/memory/journal-memory.ts'
import type {
  Mutation,
  MutationReply,
  MutationValue,
  ShardEvent,
  ShardOpened,
  ShardOptions,
  ShardRead,
  ShardReply,
  ShardRequest,
} from '../../shared/protocol/shard.ts'
import type { ShardStatus } from '../../shared/protocol/streams.ts'
import { DurableWaits, type FlushCounters, inFlight } from './durable-waits.ts'
import type { JournalComparison } from './journal-comparison.ts'
import { LaterAnswers } from './later-answers.ts'
import { notApplied, settle } from './settle.ts'
import { type TurnEntry, Turn } from './turn.ts'

/** An event of the shard that the client passes on to its owner. */
export type HeardEvent = Exclude<ShardEvent, { kind: 'answer' }>

/** Receives the events and states of a client's shard. */
export type ShardListener = {
  onEvent(shard: number, event: HeardEvent): void
  /** The shard was opened, or opened again. */
  onOpened(shard: number, opened: ShardOpened): void
  onState(status: ShardStatus): void
}

export type ShardClientOptions = {
  readonly shard: number
  readonly data: string
  readonly engine: ShardOptions
  /** PKCS8 PEM. */
  readonly signingKey: string
  /** Bytes of appends that may be on their way to this shard. */
  readonly inFlightBytesMax: number
  /** Of the start that it is part of. */
  readonly comparison: JournalComparison
}

/** A request that changes nothing. */
type Query = Exclude<ShardRequest, { kind: 'open' | 'mutate' | 'stop' }>

/** Restarts of a shard within `RESTART_WINDOW_MS`; at one more it stays down. */
const RESTARTS_MAX = 3
const RESTART_WINDOW_MS = 60_000
/** How often a shard without room for its journal tries again. */
const ROOM_RETRY_MS = 1000
/** Every request is taken at once: order and back-pressure are the engine's. */
const CONCURRENT_TASKS = 1_000_000

/**
 * The front end's side of one shard. Mutations of one event-loop turn travel as one task; each is
 * answered when the durable LSN has passed it. When a thread of the shard dies, the shard is
 * started again, which is a recovery. After a failed write or sync it is not, not even if a thread
 * dies then: only a new start of the process ends that failure (faults.md, rule 3).
 */
export class ShardClient {
  readonly #options: ShardClientOptions
  readonly #listener: ShardListener
  readonly #turn: Turn
  #pool: Piscina | undefined
  /** Resolves when the shard's thread has exited, and with it the threads that it started. */
  #gone: Promise<void> | undefined
  #events: MessagePort | undefined
  #waits: DurableWaits | undefined
  #later: LaterAnswers | undefined
  #status: ShardStatus
  #inFlightBytes = 0
  #restartsMs: number[] = []
  #isClosing = false
  #isWaiting = false

  private constructor(options: ShardClientOptions, listener: ShardListener) {
    this.#options = options
    this.#listener = listener
    this.#status = { shard: options.shard, state: 'recovering' }
    this.#turn = new Turn(entries => this.#startSend(entries))
  }

  /** Starts the shard's thread and waits until it has recovered; see `status` for how it went. */
  static async open(options: ShardClientOptions, listener: ShardListener): Promise<ShardClient> {
    const client = new ShardClient(options, listener)
    await client.#start()
    options.comparison.leave(options.shard)
    return client
  }

  get status(): ShardStatus {
    const waits = this.#waits
    return waits === undefined ? this.#status : { ...this.#status, directIo: waits.directIo }
  }

  /** Counts of the flusher's work since the start. */
  get flushCounters(): FlushCounters {
    return (
      this.#waits?.flushCounters ?? { flushes: 0, flushedBytes: 0, writeSeconds: 0, syncSeconds: 0 }
    )
  }

  /** Whether the shard serves reads, but waits for disk space before it takes changes. */
  get isWaiting(): boolean {
    return this.#isWaiting
  }

  get inFlightBytes(): number {
    return this.#inFlightBytes
  }

  /**
   * Resolves once the mutation is durable, or, relaxed, once it is in the log buffer; `durable`
   * says which.
   * @param batch bytes of an append, given away
   */
  mutate(
    mutation: Mutation,
    batch?: Buffer,
  ): Promise<{ readonly value: MutationValue; readonly durable: boolean }> {
    const bytes = batch?.length ?? 0
    if (this.#isClosing) return Promise.reject(notApplied('shutting_down', 'no new work is taken'))
    if (this.#waits === undefined) return Promise.reject(this.#unavailable())
    if (bytes > 0 && this.#inFlightBytes + bytes > this.#options.inFlightBytesMax) {
      return Promise.reject(notApplied('overloaded', 'too many appends wait for the disk; retry'))
    }
    this.#inFlightBytes += bytes
    return new Promise((resolve, reject) => {
      this.#turn.add({
        mutation,
        batch,
        resolve: (value, durable) => {
          this.#inFlightBytes -= bytes
          resolve({ value, durable })
        },
        reject: error => {
          this.#inFlightBytes -= bytes
          reject(error)
        },
      })
    })
  }

  /** Asks the shard. @throws StoreError of the engine; shard_failed when the shard is down */
  async query<Value>(request: Query): Promise<Value> {
    const pool = this.#pool
    if (pool === undefined || this.#waits === undefined) throw this.#unavailable()
    const reply = await this.#ask<Value>(pool, request)
    if ('error' in reply) throw StoreError.fromPlain(reply.error)
    return reply.value
  }

  /** @throws StoreError shard_failed when the thread died before it replied */
  async #ask<Value>(pool: Piscina, request: Query): Promise<ShardReply<Value>> {
    try {
      return (await pool.run(request)) as ShardReply<Value>
    } catch (error) {
      this.#restart(pool, String(error))
      throw new StoreError('shard_failed', 'the shard died before it answered and is restarting')
    }
  }

  /** Makes everything accepted durable and stored, then ends the thread. */
  async close(): Promise<void> {
    if (this.#isClosing) return
    this.#turn.flush()
    this.#isClosing = true
    if (this.#waits !== undefined) await this.#stopThread()
    this.#waits?.abandon()
    this.#later?.abandon(inFlight())
    await this.#endThread()
    this.#setStatus({ shard: this.#options.shard, state: 'stopped' })
  }

  /** Stops the thread. If it dies instead, the next start recovers its journal. */
  async #stopThread(): Promise<void> {
    try {
      await this.#pool?.run({ kind: 'stop' } satisfies ShardRequest)
    } catch (error) {
      this.#logDeath(String(error))
    }
  }

  async #start(): Promise<void> {
    const { shard, data, engine, signingKey } = this.#options
    const pool = startThread()
    const [thread] = pool.threads
    this.#pool = pool
    this.#gone = new Promise(resolve => {
      thread?.once('exit', () => resolve())
    })
    const channel = new MessageChannel()
    this.#events = channel.port1
    channel.port1.on('message', (event: ShardEvent) => {
      if (this.#events === channel.port1) this.#onEvent(event) // ignores a thread that was replaced
    })
    const request: ShardRequest = {
      kind: 'open',
      data,
      shard,
      options: engine,
      signingKey,
      events: channel.port2,
    }
    let reply: ShardReply<ShardOpened>
    try {
      // If the thread dies, the pool replaces it with one that has no shard and never answers.
      reply = await Promise.race([this.#open(pool, request, channel.port2), died(this.#gone)])
    } catch (error) {
      return this.#onThreadDied(pool, String(error))
    }
    if (pool !== this.#pool) return
    if ('error' in reply) {
      return this.#setStatus({ shard, state: 'failed', detail: reply.error.detail })
    }
    thread?.once('error', error => this.#restart(pool, String(error)))
    thread?.once('exit', code => this.#restart(pool, `it exited with code ${code}`))
    const opened = reply.value
    const waits = new DurableWaits(viewJournalMemory(opened.memory, engine.slotBytes))
    this.#waits = waits
    this.#later = new LaterAnswers((entry, result) => settle(entry, result, waits))
    this.#take(opened)
    if (this.#isWaiting) this.#awaitRoom(pool).catch(crash)
  }

  /** Lets the thread read its shard, and begin once all shards of the start have read theirs. */
  async #open(
    pool: Piscina,
    request: ShardRequest,
    events: MessagePort,
  ): Promise<ShardReply<ShardOpened>> {
    const { shard, comparison } = this.#options
    const read = (await pool.run(request, { transferList: [events] })) as ShardReply<ShardRead>
    if ('error' in read) return read
    const lost = await comparison.join(shard, read.value.ends)
    const begin: ShardRequest = { kind: 'begin', lost }
    return (await pool.run(begin)) as ShardReply<ShardOpened>
  }

  #take(opened: ShardOpened): void {
    const { shard } = this.#options
    const { refused, waiting } = opened
    this.#isWaiting = waiting !== null
    this.#listener.onOpened(shard, opened)
    if (refused !== null) this.#setStatus({ shard, state: 'read_only', detail: refused })
    else if (waiting !== null) this.#setStatus({ shard, state: 'disk_full', detail: waiting })
    else this.#setStatus({ shard, state: 'ready' })
  }

  /** Has the shard try again until there is room for its journal. */
  async #awaitRoom(pool: Piscina): Promise<void> {
    for (;;) {
      await setTimeout(ROOM_RETRY_MS, undefined, { ref: false })
      if (this.#isClosing || pool !== this.#pool) return
      try {
        const opened = await this.query<ShardOpened>({ kind: 'begin', lost: null })
        if (this.#isClosing || pool !== this.#pool) return
        if (opened.waiting === null) return this.#take(opened)
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
        if (this.#isClosing || pool !== this.#pool) return // the thread died and is restarted
        const { shard } = this.#options
        return this.#setStatus({ shard, state: 'failed', detail: error.message })
      }
    }
  }

  #startSend(entries: readonly TurnEntry[]): void {
    this.#send(entries).catch(crash)
  }

  async #send(entries: readonly TurnEntry[]): Promise<void> {
    const pool = this.#pool
    const waits = this.#waits
    const later = this.#later
    if (pool === undefined || waits === undefined || later === undefined) {
      for (const entry of entries) entry.reject(this.#unavailable())
      return
    }
    const { mutations, bytes } = Turn.pack(entries)
    const request: ShardRequest = { kind: 'mutate', mutations, bytes }
    try {
      const transferList = bytes.length > 0 ? [bytes.buffer as ArrayBuffer] : []
      const reply = (await pool.run(request, { transferList })) as ShardReply<MutationReply[]>
      if ('error' in reply) throw StoreError.fromPlain(reply.error)
      for (const [at, entry] of entries.entries()) {
        const one = reply.value[at]
        if (one !== undefined && 'later' in one) later.expect(one.later, entry)
        else settle(entry, one, waits)
      }
    } catch (error) {
      // The thread died with this task, so nobody knows whether it reached the journal.
      const failure = error instanceof StoreError ? error : inFlight()
      for (const entry of entries) entry.reject(failure)
      if (!(error instanceof StoreError)) await this.#onThreadDied(pool, String(error))
    }
  }

  #onEvent(event: ShardEvent): void {
    const { shard } = this.#options
    if (event.kind === 'answer') return this.#later?.take(event.later, event.result)
    if (event.kind === 'state') {
      const { state, detail } = event
      const isDeath = state === 'failed' && this.#waits?.failure === FailureCode.Thread
      if (isDeath && this.#pool !== undefined) return this.#restart(this.#pool, detail)
      this.#setStatus(detail === '' ? { shard, state } : { shard, state, detail })
    }
    this.#listener.onEvent(shard, event)
  }

  #restart(pool: Piscina, reason: string): void {
    this.#onThreadDied(pool, reason).catch(crash)
  }

  /**
   * Restarts the shard after a thread died of a defect, unless that happens too often, or a write,
   * a sync or the flusher had failed before.
   */
  async #onThreadDied(pool: Piscina, reason: string): Promise<void> {
    if (this.#isClosing || pool !== this.#pool) return
    const { shard } = this.#options
    const failure = this.#waits?.failure ?? FailureCode.None
    const isFinal = failure !== FailureCode.None && failure !== FailureCode.Thread
    const failedBefore = this.#status.detail ?? 'a write or sync failed'
    this.#pool = undefined
    this.#waits?.abandon()
    this.#waits = undefined
    this.#later?.abandon(inFlight())
    this.#later = undefined
    const detail = isFinal ? `${failedBefore}; then a thread died` : 'a thread died'
    this.#setStatus({ shard, state: isFinal ? 'failed' : 'recovering', detail })
    this.#logDeath(reason)
    this.#events?.close()
    this.#events = undefined
    // The old flusher may be in the middle of a write, so recovery waits until all old threads are
    // gone. `destroy` waits for the threads that the pool still knows, `#gone` for one that died.
    await Promise.all([pool.destroy(), this.#gone])
    if (this.#isClosing || isFinal) return
    const now = performance.now()
    this.#restartsMs = this.#restartsMs.filter(at => now - at < RESTART_WINDOW_MS)
    if (this.#restartsMs.push(now) > RESTARTS_MAX) {
      const detail = 'its threads keep dying; see the log, then restart the service'
      return this.#setStatus({ shard, state: 'failed', detail })
    }
    await this.#start()
  }

  #logDeath(reason: string): void {
    this.#listener.onEvent(this.#options.shard, {
      kind: 'log',
      level: 'error',
      message: 'a thread of the shard died; the shard is recovered',
      fields: { reason },
    })
  }

  async #endThread(): Promise<void> {
    const pool = this.#pool
    this.#pool = undefined
    this.#waits = undefined
    await pool?.destroy()
    this.#events?.close()
  }

  #unavailable(): StoreError {
    const { shard, state } = this.#status
    return notApplied('shard_failed', `shard ${shard} is ${state}; /v1/ready says why`)
  }

  #setStatus(status: ShardStatus): void {
    this.#status = status
    this.#listener.onState(status)
  }
}

/** Rejects once the thread is gone. */
async function died(gone: Promise<void>): Promise<never> {
  await gone
  throw new Error('the thread exited before its shard was open')
}

function startThread(): Piscina {
  const pool = new Piscina({
    filename: new URL('../../workers/shard.js', import.meta.url).href,
    argv: ['shard'], // says in each thread what it is
    minThreads: 1,
    maxThreads: 1,
    concurrentTasksPerWorker: CONCURRENT_TASKS,
    atomics: 'disabled', // the default parks an idle thread, which would stop the shard's timers
  })
  // The pool reports a death only if no task was unfinished, so the client listens to the thread
  // itself. Without a listener here the event would end the process.
  pool.on('error', () => undefined)
  return pool
}
