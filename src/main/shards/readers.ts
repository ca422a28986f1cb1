import { Piscina } from 'piscina'
import { crash } from '../../shared/assert.ts'
import { StoreError } from '../../shared/errors.ts'
import type { ReaderReply, ReaderRequest } from '../../shared/protocol/reader.ts'
import type { ReadPlan, ShardOptions } from '../../shared/protocol/shard.ts'
import type {
  CheckpointPage,
  PublicKey,
  ReadRequest,
  VerifyReport,
} from '../../shared/protocol/streams.ts'
import { WaitingLine } from './waiting-line.ts'

type Reply<Kind extends ReaderReply['kind']> = Extract<ReaderReply, { readonly kind: Kind }>

/** What opening the data directory has found. */
export type DirectoryOpened = Reply<'opened'>

/** How many threads are tried for a request, because one may die with it. */
const TRIES = 2

/**
 * The pool of reader threads, which see files, never a shard's memory. When a thread dies, its
 * requests are tried once more on another thread, and then refused as retryable.
 */
export class Readers {
  readonly #data: string
  readonly #threads: number
  readonly #onDeath: (reason: string) => void
  /** Queues requests before the pool, which would kill the thread of a running task on abort. */
  readonly #line: WaitingLine
  #pool: Piscina | undefined
  #isClosed = false

  /** @param onDeath called with the reason when a thread dies */
  constructor(data: string, threads: number, onDeath: (reason: string) => void) {
    this.#data = data
    this.#threads = threads
    this.#line = new WaitingLine(threads)
    this.#onDeath = onDeath
    this.#pool = this.#start()
  }

  /** Opens the data directory, or lays out a new one. @throws StoreError invalid_request */
  open(
    shards: number | undefined,
    options: ShardOptions,
    signingKey: string | undefined,
  ): Promise<DirectoryOpened> {
    return this.#run('opened', { kind: 'open', data: this.#data, shards, options, signingKey })
  }

  /** Reads a page. @param signal aborts a read that still waits for a thread */
  read(plan: ReadPlan, request: ReadRequest, signal?: AbortSignal): Promise<Reply<'page'>> {
    return this.#run('page', { kind: 'read', data: this.#data, plan, request }, signal)
  }

  async verify(
    plan: ReadPlan,
    from: number,
    to: number,
    signal?: AbortSignal,
  ): Promise<VerifyReport> {
    const request = { kind: 'verify', data: this.#data, plan, from, to } as const
    return (await this.#run('verified', request, signal)).report
  }

  async checkpoints(
    plan: ReadPlan,
    from: number,
    limit: number,
    signal?: AbortSignal,
  ): Promise<CheckpointPage> {
    const request = { kind: 'checkpoints', data: this.#data, plan, from, limit } as const
    return (await this.#run('checkpoints', request, signal)).page
  }

  async keys(activeKeyId: string): Promise<PublicKey[]> {
    const { keys } = await this.#run('keys', { kind: 'keys', data: this.#data, activeKeyId })
    return [...keys]
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#pool?.destroy()
  }

  #start(): Piscina {
    const pool = new Piscina({
      filename: new URL('../../workers/reader.js', import.meta.url).href,
      argv: ['reader'],
      minThreads: this.#threads,
      maxThreads: this.#threads,
      atomics: 'disabled',
    })
    // An idle thread died; without a listener the event would end the process.
    pool.on('error', (error: unknown) => this.#onDeath(String(error)))
    pool.on('workerDestroy', () => setImmediate(() => this.#dropEmpty(pool)))
    return pool
  }

  /**
   * Drops a pool without threads. If a thread dies while it starts, piscina starts no other one,
   * and the requests of that pool would wait for ever.
   */
  #dropEmpty(pool: Piscina): void {
    if (this.#isClosed || pool !== this.#pool || pool.threads.length > 0) return
    this.#pool = undefined
    pool.destroy().catch(crash) // its requests are rejected, and tried again on the next pool
  }

  /** @throws StoreError overloaded when the threads die of it, shutting_down */
  async #answer(request: ReaderRequest): Promise<ReaderReply> {
    for (let tries = 0; tries < TRIES && !this.#isClosed; tries += 1) {
      this.#pool ??= this.#start()
      try {
        return (await this.#pool.run(request)) as ReaderReply
      } catch (error) {
        if (!this.#isClosed) this.#onDeath(String(error))
      }
    }
    throw this.#isClosed
      ? new StoreError('shutting_down', 'the service is shutting down')
      : new StoreError('overloaded', 'the reader threads died with this request; send it again')
  }

  /** @throws StoreError as the reader has it */
  async #run<Kind extends ReaderReply['kind']>(
    kind: Kind,
    request: ReaderRequest,
    signal?: AbortSignal,
  ): Promise<Reply<Kind>> {
    const reply = await this.#line.run(() => this.#answer(request), signal)
    if (reply.kind === 'error') throw StoreError.fromPlain(reply.error)
    if (reply.kind === 'defect') {
      const reason = new Error(reply.reason)
      throw new StoreError('internal', 'a reader thread failed with a defect', {}, reason)
    }
    if (reply.kind !== kind) throw new StoreError('internal', `a reader answered ${reply.kind}`)
    return reply as Reply<Kind>
  }
}
