import { assert } from '../../shared/assert.ts'
import { StoreError } from '../../shared/errors.ts'
import { findLostEnds } from '../../shared/format/journal-ends.ts'
import { JOURNALS_NEXT_PATH, JOURNALS_PATH, shardPath } from '../../shared/format/paths.ts'
import { shardOf } from '../../shared/format/shard-of.ts'
import { PAGE_BYTES } from '../../shared/limits.ts'
import type { ReshardReport } from '../../shared/protocol/reader.ts'
import type { ShardOptions } from '../../shared/protocol/shard.ts'
import { CopyFaults } from '../disk/copy-faults.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { makeDirectories } from '../disk/files.ts'
import { RedirectedDisk } from '../disk/redirected-disk.ts'
import type { Steps } from '../disk/sync-steps.ts'
import { resumed } from '../engine/trusted-clock.ts'
import { assignTransaction } from '../engine/staged-transaction.ts'
import type { Environment } from '../environment.ts'
import { readEntries } from '../streams/catalogue-copies.ts'
import { jobSteps } from '../streams/checkpointer-job.ts'
import { endMove, layOutShard } from './data-directory.ts'
import { changeHeader, type DirectoryHeader } from './directory-header.ts'
import { examineShard, type RecoveredShard, recoverShard } from './open-shard.ts'
import { discardJournals, moveJournals } from './shard-move.ts'

/** Of a routed stream, as it lies in the catalogue. */
type Entries = Buffer[]

/**
 * Gives a directory another number of shards: brings everything into segments, then lays out new
 * journals, whose catalogues have the streams by the new routing. Streams' own files stay. Yields
 * what must be durable before it goes on, as a write-back does.
 * @throws StoreError invalid_request when a shard is damaged; nothing has changed then
 */
export function* reshard(
  disk: Disk,
  environment: Environment,
  header: DirectoryHeader,
  shards: number,
  options: ShardOptions,
): Steps<ReshardReport> {
  const started = environment.monotonicMs()
  const from = header.shards
  const ends = Array.from({ length: from }, (_, shard) => {
    const found = examineShard(disk, shard, options)
    if (typeof found === 'string') throw refusal(from, shard, found)
    return found
  })
  for (const [shard, reason] of findLostEnds(ends)) throw refusal(from, shard, reason)
  const recovered = recoverAll(disk, environment, from, options)
  const committed = decisionsOf(recovered)
  const routed = Array.from({ length: shards }, (): Entries => [])
  let epoch = 0
  let clockMicros = 0
  for (const [shard, state] of recovered.entries()) {
    settleTransactions(state, committed)
    yield* storeAll(disk, environment, shard, state, options)
    epoch = Math.max(epoch, state.journal.file.epoch)
    clockMicros = Math.max(clockMicros, state.checkpoint.clockMicros)
    for (const { name, bytes } of readEntries(disk, shard)) {
      routed[shardOf(name, shards)]?.push(bytes)
    }
  }
  buildNext(disk, environment, routed, { epoch, clockMicros })
  const marked = changeHeader(disk, { ...header, shards, moving: true })
  moveJournals(disk)
  endMove(disk, marked)
  const streams = routed.reduce((sum, { length }) => sum + length, 0)
  const milliseconds = Math.round(environment.monotonicMs() - started)
  return { from, to: shards, streams, milliseconds }
}

type Recovered = Extract<RecoveredShard, { readonly refused: null }>

/** A crash on the way leaves shards that recover as ever. */
function recoverAll(
  disk: Disk,
  environment: Environment,
  shards: number,
  options: ShardOptions,
): Recovered[] {
  return Array.from({ length: shards }, (_, shard) => {
    const state = recoverShard(disk, environment, shard, options)
    if (state.journal === null) throw refusal(shards, shard, state.refused)
    return state
  })
}

/** Transactions that were committed: by coordinator and id. */
function decisionsOf(recovered: readonly Recovered[]): ReadonlySet<string> {
  return new Set(
    recovered.flatMap(({ ledger }, shard) => ledger.decisions.map(id => `${shard} ${id}`)),
  )
}

/**
 * Does what is committed, and drops the rest: no decision means aborted. The decisions stay in the
 * old catalogues, so that after a crash the other shards come to the same.
 */
function settleTransactions(state: Recovered, committed: ReadonlySet<string>): void {
  const { table, arena, checkpoint, ledger } = state
  for (const { id, coordinator, payload, timestamp } of ledger.all()) {
    ledger.resolve(id)
    if (!committed.has(`${coordinator} ${id}`)) continue
    const range = [0, payload.length] as const
    const lsn = markOf(state).endLsn
    const appended = assignTransaction(table, arena, payload, range, timestamp, lsn)
    assert(appended !== undefined, 'a transaction follows the heads that it was encoded for')
    for (const { log, frame, creates } of appended) {
      if (creates) table.makeDurable(log)
      log.makeDurable(frame)
      checkpoint.noteChanged(log)
    }
  }
}

function markOf({ journal }: Recovered) {
  const { file, position, blockNumber, blockHash } = journal
  const endLsn = file.firstLsn + position - PAGE_BYTES
  return { number: blockNumber, hash: blockHash, file: file.number, endLsn }
}

/** Brings all of a shard into segments and catalogue. */
function* storeAll(
  disk: Disk,
  environment: Environment,
  shard: number,
  state: Recovered,
  options: ShardOptions,
): Steps<void> {
  const { checkpoint, table, ledger } = state
  if (!checkpoint.isDirty) return
  const now = environment.nowMicros()
  const mark = markOf(state)
  const clockMicros = resumed(now, checkpoint.clockMicros)
  const time = { timestamp: now, ageMicros: Math.min(now, clockMicros), clockMicros }
  const job = checkpoint.start(mark, time, table.size, options, ledger)
  const faults = new CopyFaults()
  const done = yield* jobSteps(disk, shard, job, faults)
  if (done.kind === 'failed') throw new DiskError('EIO', 'checkpoint', done.reason)
  assert(done.kind === 'checkpoint', 'a checkpoint answers as one')
  yield* jobSteps(disk, shard, { kind: 'release', trimmed: done.trimmed }, faults)
}

/** Journals in which nothing has happened yet, each durable with all of its streams. */
function buildNext(
  disk: Disk,
  environment: Environment,
  routed: readonly Entries[],
  last: { readonly epoch: number; readonly clockMicros: number },
): void {
  discardJournals(disk) // of a build that did not come to its end
  const next = new RedirectedDisk(disk, JOURNALS_PATH, JOURNALS_NEXT_PATH)
  for (const [shard, entries] of routed.entries()) {
    makeDirectories(next, shardPath(shard))
    layOutShard(next, environment, shard, { ...last, entries })
  }
}

function refusal(from: number, shard: number, reason: string): StoreError {
  return new StoreError(
    'invalid_request',
    `the number of shards cannot be changed: shard ${shard} is damaged (${reason}); ` +
      `start with --shards ${from} to serve what can be read`,
  )
}
