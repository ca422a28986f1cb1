import { unreachable } from '../../shared/assert.ts'
import { Queue } from '../../shared/queue.ts'
import type { StoredAppend, StreamLog, TailFrame } from '../streams/stream-log.ts'
import type { Commit } from './accepted.ts'
import type { DirectAppends } from './direct-appends.ts'
import type { EngineParts } from './engine-parts.ts'
import type { RetentionKeeper } from './retention-keeper.ts'
import type { Watchers } from './watchers.ts'

/** What changes a stream but appends nothing to it. */
type Change = Extract<Commit, { kind: 'create' | 'configure' | 'trim' | 'close' | 'delete' }>

/**
 * Frames on their way to the disk, in order. What a frame does is applied, shown and announced when
 * the durable LSN has passed it, not before.
 */
export class DurableCommits {
  readonly #parts: EngineParts
  readonly #watchers: Watchers
  readonly #retention: RetentionKeeper
  readonly #directs: DirectAppends
  readonly #commits = new Queue<Commit>()
  appendedRecords = 0
  appendedBytes = 0

  constructor(
    parts: EngineParts,
    watchers: Watchers,
    retention: RetentionKeeper,
    directs: DirectAppends,
  ) {
    this.#parts = parts
    this.#directs = directs
    this.#watchers = watchers
    this.#retention = retention
  }

  get length(): number {
    return this.#commits.length
  }

  push(commit: Commit): void {
    this.#commits.push(commit)
  }

  /** Applies what is durable; whether there was anything. */
  applyThrough(durableLsn: number): boolean {
    let applied = false
    for (;;) {
      const commit = this.#commits.peek()
      if (commit === undefined || commit.endLsn > durableLsn) break
      this.#apply(commit)
      this.#commits.shift()
      applied = true
    }
    return applied
  }

  #apply(commit: Commit): void {
    const { ledger } = this.#parts
    switch (commit.kind) {
      case 'barrier':
      case 'pending':
        return
      case 'append':
        return this.#append(commit.log, commit.frame, commit.creates)
      case 'reference':
        this.#parts.postJob({ kind: 'index', of: commit.job })
        return this.#reference(commit.log, commit.stored)
      case 'aborted':
        return ledger.settle(commit.pending, 'abort', false)
      case 'transaction':
        for (const { log, frame, creates } of commit.appended) this.#append(log, frame, creates)
        return ledger.settle(commit.pending, 'commit', commit.isDecision)
      case 'create':
      case 'configure':
      case 'trim':
      case 'close':
      case 'delete':
        return this.#change(commit)
      default:
        return unreachable(commit)
    }
  }

  #change(commit: Change): void {
    const { table, checkpoint } = this.#parts
    const { log } = commit
    switch (commit.kind) {
      case 'create':
        this.#show(log)
        break
      case 'configure':
        this.#sign(log, commit.frame)
        log.durableConfig = commit.config
        this.#retention.note(log)
        log.manifestStale = true
        break
      case 'trim':
        this.#sign(log, commit.frame)
        this.#retention.noteTrimmed(log, commit.before - log.durableFirstOffset, commit.cause)
        log.durableFirstOffset = commit.before
        log.manifestStale = true
        break
      case 'close':
        this.#sign(log, commit.frame)
        log.durableState = 'closed'
        log.manifestStale = true
        this.#watchers.end(log, 'closed')
        break
      case 'delete':
        log.durableState = 'deleted'
        table.remove(log)
        this.#retention.forget(log)
        this.#watchers.end(log, 'deleted')
        return checkpoint.noteDeleted(log)
      default:
        return unreachable(commit)
    }
    if (log.durableState !== 'deleted') checkpoint.noteChanged(log)
  }

  /** Takes the checkpoint that signs a change. */
  #sign(log: StreamLog, frame: TailFrame): void {
    log.makeDurable(frame)
    this.#watchers.note(log, frame)
  }

  #append(log: StreamLog, frame: TailFrame, creates: boolean): void {
    const { checkpoint } = this.#parts
    if (creates) this.#show(log)
    log.makeDurable(frame)
    this.appendedRecords += frame.nextOffset - frame.firstOffset
    this.appendedBytes += frame.length
    this.#watchers.note(log, frame)
    checkpoint.noteChanged(log)
  }

  #reference(log: StreamLog, stored: StoredAppend): void {
    const { firstOffset, count, length } = stored.reference
    log.makeStoredDurable(stored)
    this.appendedRecords += count
    this.appendedBytes += length
    this.#watchers.noteUnread(log, firstOffset, firstOffset + count)
    this.#directs.noteApplied(log)
    this.#parts.checkpoint.noteChanged(log)
  }

  #show(log: StreamLog): void {
    this.#parts.table.makeDurable(log)
    this.#retention.note(log)
  }
}
