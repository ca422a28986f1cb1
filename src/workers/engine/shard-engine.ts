import { assert } from '../../shared/assert.ts'
import { StoreError } from '../../shared/errors.ts'
import { BlockFlag } from '../../shared/format/block.ts'
import { IDLE_SEAL_MS } from '../../shared/limits.ts'
import { ring } from '../../shared/memory/doorbell.ts'
import { FailureCode, Word } from '../../shared/memory/journal-memory.ts'
import type { CheckpointerResult } from '../../shared/protocol/checkpointer.ts'
import type { Mutation, MutationResult, ShardStats } from '../../shared/protocol/shard.ts'
import { Announcements } from './announcements.ts'
import { DirectAppends, NO_ROOM, NOT_STORED } from './direct-appends.ts'
import { DurableCommits } from './durable-commits.ts'
import type { EngineParts } from './engine-parts.ts'
import { MutationQueue } from './mutation-queue.ts'
import { NextFile } from './next-file.ts'
import { RetentionKeeper } from './retention-keeper.ts'
import { SealPolicy } from './seal-policy.ts'
import { statsOf } from './shard-stats.ts'
import { SpaceGuard } from './space-guard.ts'
import { StallWatch } from './stall-watch.ts'
import { Watchers, type WatchStart } from './watchers.ts'
import { type RetriedJob, WriteBackFailures } from './write-back-failures.ts'
import { WriteBackTimes } from './write-back-times.ts'

// The coordinator of a shard. It never blocks and never touches the disk. `advance` does all work
// that is possible now; it is called after each event, and at the latest at `deadline`.
//
// Invariants:
// - mutations of a stream become frames in the order of their arrival, and frames apply in order
// - nothing is applied, shown or announced before the durable LSN has passed its frame
// - after a failure nothing is accepted, applied or written any more

type Stage = 'running' | 'draining' | 'checkpointing' | 'closing' | 'stopped' | 'failed'

/** How often the engine checks for room while mutations are pending. */
const ROOM_CHECK_MS = 250

export class ShardEngine {
  readonly #parts: EngineParts
  readonly #watchers: Watchers
  readonly #seals: SealPolicy
  readonly #space: SpaceGuard
  readonly #queue: MutationQueue
  readonly #directs: DirectAppends
  readonly #retention: RetentionKeeper
  readonly #commits: DurableCommits
  readonly #news: Announcements
  #stage: Stage = 'running'
  #stopped: (() => void)[] = []
  readonly #failures = new WriteBackFailures()
  readonly #nextFile: NextFile
  readonly #stall: StallWatch
  readonly #times: WriteBackTimes
  /** When the last data block became durable; undefined when an idle seal has vouched for it. */
  #unsealedSinceMs: number | undefined
  #appliedLsn = 0
  #mayStopDirty = false

  constructor(parts: EngineParts) {
    this.#parts = parts
    this.#news = new Announcements(parts.emit)
    this.#watchers = new Watchers(parts.emit)
    this.#seals = new SealPolicy(parts.options)
    this.#space = new SpaceGuard(parts.freeBytes, parts.options.diskReserveBytes)
    this.#directs = new DirectAppends(parts)
    this.#nextFile = new NextFile(parts, this.#failures)
    this.#stall = new StallWatch(parts.options.stallMs)
    this.#queue = new MutationQueue(parts, this.#seals, this.#space, this.#directs, this.#failures)
    this.#retention = new RetentionKeeper(parts, this.#queue)
    this.#commits = new DurableCommits(parts, this.#watchers, this.#retention, this.#directs)
    this.#times = new WriteBackTimes(parts, this.#failures)
    this.#news.announceUnwritten(parts.checkpoint.unwritten)
    const isSealed = parts.buffer.seal(BlockFlag.EpochOpen)
    assert(isSealed, 'the slots are free at the start')
  }

  /**
   * Accepts mutations in order; each is answered when it is in the log buffer, or refused.
   * @param onParked called before the answer of one that waits for a transaction
   */
  mutate(
    mutations: readonly Mutation[],
    bytes: Buffer,
    answer: (at: number, result: MutationResult) => void,
    onParked: (at: number) => void,
  ): void {
    for (const [at, mutation] of mutations.entries()) {
      if (this.#stage === 'failed') answer(at, { error: SHARD_FAILED.toPlain() })
      else {
        this.#queue.push({
          mutation,
          bytes,
          answer: result => answer(at, result),
          onParked: () => onParked(at),
        })
      }
    }
    this.advance()
  }

  /** @throws StoreError shard_failed once the shard has failed: nothing can come any more */
  watch(stream: string, watch: number): WatchStart {
    if (this.#stage === 'failed') throw SHARD_FAILED
    this.catchUp()
    return this.#watchers.add(watch, this.#parts.table.durable(stream))
  }

  unwatch(watch: number): void {
    this.#watchers.remove(watch)
  }

  /** Has a stream's manifest written anew by the next checkpoint. */
  relist(stream: string, streamId: string): void {
    const { table, checkpoint, environment } = this.#parts
    const log = table.durable(stream)
    if (log?.id !== streamId) return
    checkpoint.noteManifestStale(log)
    this.#times.noteDirty(environment.monotonicMs())
  }

  stats(): ShardStats {
    const [queue, directs, retention] = [this.#queue, this.#directs, this.#retention]
    return statsOf(this.#parts, { queue, directs, retention, commits: this.#commits })
  }

  /** Makes everything accepted durable and stored, and ends the journal with a clean block. */
  stop(): Promise<void> {
    if (this.isOver) return Promise.resolve()
    const stopped = new Promise<void>(resolve => {
      this.#stopped.push(resolve)
    })
    if (this.#stage === 'running') this.#stage = 'draining'
    this.advance()
    return stopped
  }

  /** Does all work that is possible now. */
  advance(): void {
    if (this.isOver) return
    const { memory, buffer, environment, options } = this.#parts
    const now = environment.monotonicMs()
    this.#applyDurable(buffer.observe(), now)
    const failure = Atomics.load(memory.words, Word.failure)
    if (failure !== FailureCode.None) {
      return this.fail(failure as FailureCode, 'a write or sync failed')
    }
    const isBlocked = Atomics.load(memory.words, Word.blocked) === 1
    this.#space.check(now, isBlocked)
    this.#news.announce(this.#space.isFull, this.#failures.areOther)
    if (this.#stage === 'running') this.#retention.advance(now)
    this.#wantCheckpoint(now)
    this.#queue.drain(now, commit => this.#commits.push(commit))
    if (buffer.hasFrames && this.#seals.isDue(now, buffer.isFlusherIdle)) this.#seal()
    this.#nextFile.advance(now)
    this.#wantIdleSeal(now)
    this.#moveStage()
    if (buffer.isFlusherIdle || isBlocked) this.#stall.noteProgress(now)
    else if (this.#stall.observe(now)) {
      this.fail(FailureCode.Stall, `no flush ended for ${options.stallMs} ms`)
    }
  }

  /** Whether the engine has stopped or failed, for good. */
  get isOver(): boolean {
    return this.#stage === 'failed' || this.#stage === 'stopped'
  }

  /** When to call `advance` at the latest, ms; undefined: not before the next event. */
  get deadline(): number | undefined {
    if (this.isOver) return undefined
    const { buffer, environment } = this.#parts
    const times = [
      // A write-back that is held is started by the end of a job or of a flush.
      ...(this.#isCheckpointHeld ? [] : this.#times.deadlines),
      this.#failures.deadline(this.#retriable),
      this.#retention.deadline,
      this.#queue.length > 0 || this.#space.isFull
        ? environment.monotonicMs() + ROOM_CHECK_MS
        : undefined,
    ]
    // The end of a flush under way is an event; the stall deadline covers one that never ends.
    if (!buffer.isFlusherIdle) times.push(this.#stall.deadline)
    else if (buffer.hasFrames) times.push(this.#seals.deadline)
    // Without room for an idle seal, the next journal file is the event to wait for.
    else if (!buffer.awaitsFile) times.push(add(this.#unsealedSinceMs, IDLE_SEAL_MS))
    const known = times.filter(time => time !== undefined)
    return known.length === 0 ? undefined : Math.min(...known)
  }

  /** Failed jobs that wait for their time alone. Those under way or held wait for an event. */
  get #retriable(): RetriedJob[] {
    const jobs: RetriedJob[] = []
    if (!this.#nextFile.isPreparing) jobs.push('prepare')
    if (!this.#isCheckpointHeld) jobs.push('checkpoint')
    return jobs
  }

  /** Takes the result of a job of the write-back thread. */
  onResult(result: CheckpointerResult): void {
    if (this.#stage === 'failed') return
    if (result.kind === 'copies') return this.#news.announceCopies(result.reasons)
    if (result.kind !== 'failed') this.#failures.noteSuccess(result.kind)
    switch (result.kind) {
      case 'prepare':
        this.#nextFile.onPrepared(result.file, result.isReused)
        break
      case 'checkpoint':
        this.#news.tell(result)
        this.#parts.arena.freeThrough(this.#parts.checkpoint.finish(result, this.#retention))
        // Reads planned from here on do not need the trimmed segments.
        if (result.trimmed.length > 0) {
          this.#parts.postJob({ kind: 'release', trimmed: result.trimmed })
        }
        this.#times.noteEnd()
        this.#news.announceUnwritten(this.#parts.checkpoint.unwritten)
        break
      case 'store':
        this.#news.tell(result)
        this.#directs.onStored(result.id, result.extent)
        break
      case 'release':
        this.#news.tell(result)
        this.#retention.noteRemoved(result.segments)
        break
      case 'retention':
        this.#retention.onDone(result)
        break
      case 'reindex':
      case 'index':
        this.#news.tell(result)
        break
      case 'failed':
        this.#onJobFailed(result)
    }
    this.#space.noteJobs(this.#failures.areForSpace)
    this.advance()
  }

  /**
   * Makes durable records visible to readers. The front end answers appends from shared memory, so
   * a client may read before this thread has woken up for the same flush.
   */
  catchUp(): void {
    if (this.isOver) return
    this.#applyDurable(this.#parts.buffer.observe(), this.#parts.environment.monotonicMs())
  }

  /**
   * Stops for good. Frames that are durable by now are applied, so that answered records can be
   * read. Other mutations with a frame are answered with outcome `unknown`, because a write may be
   * under way; those without a frame with `not_applied`. Nothing becomes durable after this.
   */
  fail(code: FailureCode, reason: string): void {
    if (this.isOver) return
    this.#parts.buffer.freeze()
    this.catchUp()
    this.#stage = 'failed'
    const { words } = this.#parts.memory
    // The front end reads this word before the durable LSN, which does not move any more.
    Atomics.compareExchange(words, Word.failure, FailureCode.None, code)
    ring(words, Word.flushed) // wakes the front end, which answers the pending mutations
    this.#parts.emit({ kind: 'state', state: 'failed', detail: reason })
    this.#queue.refuseAll(SHARD_FAILED)
    for (const resolve of this.#stopped) resolve()
  }

  #applyDurable(durableLsn: number, now: number): void {
    if (durableLsn > this.#appliedLsn) this.#stall.noteProgress(now)
    this.#appliedLsn = durableLsn
    if (!this.#commits.applyThrough(durableLsn)) return
    this.#unsealedSinceMs = now
    this.#times.noteDirty(now)
    this.#watchers.flush()
  }

  #seal(): void {
    this.#parts.buffer.seal(BlockFlag.Data)
    this.#seals.reset()
  }

  get #isCheckpointHeld(): boolean {
    const { checkpoint, buffer, ledger } = this.#parts
    const isNeeded = ledger.needsJournalBelow(buffer.durable.endLsn) || this.#directs.isRunning
    return checkpoint.isRunning || isNeeded
  }

  #wantCheckpoint(now: number): void {
    const { buffer, checkpoint, options, environment, clock, table, ledger } = this.#parts
    this.#directs.mayStart = false
    if (checkpoint.isRunning || now < this.#failures.retryAtMs('checkpoint')) return
    const used = buffer.durable.endLsn - checkpoint.lsn + this.#directs.bytes
    const isDue = this.#times.isDue(now, used, this.#stage === 'checkpointing')
    const isHeld = ledger.needsJournalBelow(buffer.durable.endLsn) || this.#directs.isRunning
    // Running transactions and direct appends end by themselves; new ones must wait meanwhile.
    this.#queue.mayPrepare = !(isDue && isHeld)
    this.#directs.mayStart = !isDue
    if (!isDue || isHeld) return
    this.#times.noteStart()
    this.#directs.reset()
    const time = {
      timestamp: environment.nowMicros(),
      ageMicros: clock.now(),
      clockMicros: clock.reached,
    }
    this.#parts.postJob(checkpoint.start(buffer.durable, time, table.size, options, ledger))
  }

  #wantIdleSeal(now: number): void {
    const { buffer } = this.#parts
    const isQuiet = this.#unsealedSinceMs !== undefined && !buffer.hasFrames && buffer.isFlusherIdle
    if (!isQuiet || this.#stage !== 'running') return
    if (now - (this.#unsealedSinceMs ?? now) < IDLE_SEAL_MS) return
    if (buffer.seal(BlockFlag.IdleSeal)) this.#unsealedSinceMs = undefined
  }

  /** Only a failed sync ends the shard: any other failed call leaves what the job began undone. */
  #onJobFailed(result: Extract<CheckpointerResult, { kind: 'failed' }>): void {
    if (result.final) return this.fail(FailureCode.Checkpoint, result.reason)
    const { checkpoint, environment } = this.#parts
    const { job, reason, isForSpace, id } = result
    this.#news.tell(result)
    const now = environment.monotonicMs()
    if (this.#failures.note(job, { reason, isForSpace }, now)) {
      const message = `the ${job} job of the write-back failed`
      this.#news.log(isForSpace ? 'warn' : 'error', message, { reason })
    }
    if (job === 'prepare') this.#nextFile.abandon()
    if (job === 'retention') this.#retention.abandon()
    if (id !== undefined) {
      this.#queue.refuseDirect(this.#directs.abandon(id), isForSpace ? NO_ROOM : NOT_STORED)
    }
    if (job === 'checkpoint') {
      checkpoint.abandon()
      // The journal holds everything, so a stop need not wait until the disk is well.
      if (this.#stage === 'checkpointing') this.#mayStopDirty = true
      this.#times.noteFailure(now)
    }
  }

  /** Moves through the stages of a clean stop; each begins when the one before has ended. */
  #moveStage(): void {
    const { buffer, checkpoint, memory, ledger } = this.#parts
    if (this.#stage === 'draining') {
      // Nobody is left to resolve staged transactions: they stay in doubt, kept by the journal.
      if (ledger.stagedCount > 0) {
        this.#mayStopDirty = true
        if (this.#queue.length === this.#queue.parkedCount) this.#queue.refuseParked(SHUTTING_DOWN)
      }
      if (this.#queue.length > 0) return
      if (buffer.hasFrames) this.#seal()
      if (!buffer.isFlusherIdle || this.#commits.length > 0) return
      this.#stage = 'checkpointing'
      this.#wantCheckpoint(this.#parts.environment.monotonicMs())
    }
    if (this.#stage === 'checkpointing') {
      if (checkpoint.isRunning || (checkpoint.isDirty && !this.#mayStopDirty)) return
      if (!buffer.seal(BlockFlag.CleanShutdown)) return
      this.#stage = 'closing'
    }
    if (this.#stage === 'closing' && buffer.isFlusherIdle) {
      this.#stage = 'stopped'
      Atomics.store(memory.words, Word.stop, 1)
      ring(memory.words, Word.sealed)
      for (const resolve of this.#stopped) resolve()
    }
  }
}

const SHUTTING_DOWN = new StoreError('shutting_down', 'no new work is taken')
const SHARD_FAILED = new StoreError('shard_failed', 'the shard stopped after a failure', {
  outcome: 'not_applied',
})

function add(since: number | undefined, delay: number): number | undefined {
  return since === undefined ? undefined : since + delay
}
