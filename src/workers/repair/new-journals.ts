import { assert } from '../../shared/assert.ts'
import { GENESIS_HASH } from '../../shared/format/chain.ts'
import { JOURNALS_NEXT_PATH, JOURNALS_PATH, shardPath } from '../../shared/format/paths.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { makeDirectories } from '../disk/files.ts'
import { RedirectedDisk } from '../disk/redirected-disk.ts'
import { JournalCheckpoint } from '../engine/journal-checkpoint.ts'
import { assignTransaction } from '../engine/staged-transaction.ts'
import type { Environment } from '../environment.ts'
import { listJournalFiles, readJournalHeader } from '../journal/journal-files.ts'
import { layOutShard } from '../recovery/data-directory.ts'
import type { ReplayedState } from '../recovery/replay.ts'
import type { SalvagedShard } from '../recovery/salvage.ts'
import { discardJournals } from '../recovery/shard-move.ts'
import { readCatalogue, readEntries } from '../streams/catalogue-copies.ts'
import { runJob } from '../streams/checkpointer-job.ts'
import type { StreamLog } from '../streams/stream-log.ts'

/** Applies a pending transaction of this shard. */
export function commitStaged(state: ReplayedState, id: number): void {
  const { table, arena, ledger } = state
  const staged = ledger.staged(id)
  assert(staged !== undefined, 'a transaction that is committed is staged')
  ledger.resolve(id)
  const { payload, timestamp, endLsn } = staged
  const range = [0, payload.length] as const
  const appended = assignTransaction(table, arena, payload, range, timestamp, endLsn)
  assert(appended !== undefined, 'a staged transaction follows the heads of its streams')
  for (const { log, frame, creates } of appended) {
    if (creates) table.makeDurable(log)
    log.makeDurable(frame)
  }
}

/**
 * Builds new, empty journals beside the old ones, and makes them durable. All records of the shards
 * go to segments, all streams to the catalogues of the new journals. The old journals stay as they
 * are, so a crash changes nothing. @throws DiskError
 */
export function buildJournals(
  disk: Disk,
  environment: Environment,
  shards: readonly SalvagedShard[],
): void {
  const next = new RedirectedDisk(disk, JOURNALS_PATH, JOURNALS_NEXT_PATH)
  discardJournals(disk) // left by a build that was interrupted
  const entries = shards.map(salvaged => storeShard(disk, next, environment, salvaged))
  discardJournals(disk)
  const epoch = Math.max(...shards.map(({ shard }) => epochOf(disk, shard)))
  for (const { shard, catalogue } of shards) {
    const { clockMicros } = catalogue.commit
    makeDirectories(next, shardPath(shard))
    layOutShard(next, environment, shard, { epoch, clockMicros, entries: entries[shard] ?? [] })
  }
}

/** Stores all records of a shard in segments. Returns the catalogue entries of its streams. */
function storeShard(
  disk: Disk,
  next: Disk,
  environment: Environment,
  { shard, catalogue, state }: SalvagedShard,
): Buffer[] {
  const { clockMicros } = catalogue.commit
  const logs = [...state.table.all()]
  makeDirectories(next, shardPath(shard))
  layOutShard(next, environment, shard, { epoch: 0, clockMicros, entries: [] })
  const scratch = readCatalogue(next, shard)
  assert('live' in scratch, 'a catalogue that was just written checks')
  const place = { catalogueBytes: scratch.bytes, catalogueSalt: scratch.salt }
  const checkpoint = new JournalCheckpoint({ lsn: 0, clockMicros, ...place })
  for (const log of logs) {
    log.manifestStale = true // write a new one, whatever is on the disk
    checkpoint.noteChanged(log)
  }
  const mark = { number: 0, hash: GENESIS_HASH, file: 0, endLsn: lastLsn(logs) }
  const time = { timestamp: environment.nowMicros(), ageMicros: clockMicros, clockMicros }
  // What it says of the old journals does not hold for the new ones.
  const carried = { decisions: state.ledger.decisions, witnesses: [] }
  const never = Number.POSITIVE_INFINITY // no producer is forgotten by a repair
  const job = checkpoint.start(mark, time, logs.length, never, carried)
  const done = runJob(next, shard, job)
  if (done.kind === 'failed') throw new DiskError('EIO', 'repair', done.reason)
  return readEntries(next, shard).map(({ bytes }) => bytes)
}

function lastLsn(logs: readonly StreamLog[]): number {
  return logs.reduce((lsn, { durableLsn }) => Math.max(lsn, durableLsn), 0)
}

/** The highest epoch of a shard's journal files that can be read. */
function epochOf(disk: Disk, shard: number): number {
  const files = listJournalFiles(disk, shard).map(number => readJournalHeader(disk, shard, number))
  return Math.max(0, ...files.map(file => file?.epoch ?? 0))
}
