import { assert } from '../../shared/assert.ts'
import { latin1ToHex } from '../../shared/format/bytes.ts'
import { encodeStreamEntry, streamEntryBytesMax } from '../../shared/format/catalogue.ts'
import { GENESIS_HASH } from '../../shared/format/chain.ts'
import { JOURNALS_NEXT_PATH, JOURNALS_PATH, shardPath } from '../../shared/format/paths.ts'
import type { Loss } from '../../shared/protocol/inspection.ts'
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

/** What could not be stored while the journals were built. */
export type NotStored = {
  /** Messages about streams whose files could not be written. */
  readonly unmended: readonly string[]
  /** Records of these streams that are given up, because only the journal had them. */
  readonly losses: readonly Loss[]
}

/**
 * Builds new, empty journals beside the old ones, and makes them durable. All records of the shards
 * go to segments, all streams to the catalogues of the new journals. The old journals stay as they
 * are, so a crash changes nothing. A stream that cannot be written keeps what it has in segments.
 * @throws DiskError for want of space, and where a sync or a journal fails
 */
export function buildJournals(
  disk: Disk,
  environment: Environment,
  shards: readonly SalvagedShard[],
): NotStored {
  const next = new RedirectedDisk(disk, JOURNALS_PATH, JOURNALS_NEXT_PATH)
  discardJournals(disk) // left by a build that was interrupted
  const stored = shards.map(salvaged => new ShardStore(next, environment, salvaged).run())
  discardJournals(disk)
  const epoch = Math.max(...shards.map(({ shard }) => epochOf(disk, shard)))
  for (const [at, { shard, catalogue }] of shards.entries()) {
    const { clockMicros } = catalogue.commit
    makeDirectories(next, shardPath(shard))
    layOutShard(next, environment, shard, {
      epoch,
      clockMicros,
      entries: stored[at]?.entries ?? [],
    })
  }
  const unmended = stored.flatMap(shard => shard.unmended)
  return { unmended, losses: stored.flatMap(({ losses }) => losses) }
}

/** Stores all records of a shard in segments, by a catalogue of its own that is thrown away. */
class ShardStore {
  readonly #next: Disk
  readonly #environment: Environment
  readonly #salvaged: SalvagedShard
  readonly #unmended: string[] = []
  readonly #losses: Loss[] = []

  constructor(next: Disk, environment: Environment, salvaged: SalvagedShard) {
    this.#next = next
    this.#environment = environment
    this.#salvaged = salvaged
  }

  /** Stores the records. Returns the streams' new catalogue entries, and what was not stored. */
  run(): NotStored & { readonly entries: Buffer[] } {
    const { shard, state, catalogue } = this.#salvaged
    const { clockMicros } = catalogue.commit
    const logs = [...state.table.all()]
    makeDirectories(this.#next, shardPath(shard))
    layOutShard(this.#next, this.#environment, shard, { epoch: 0, clockMicros, entries: [] })
    const kept: Buffer[] = []
    if (this.#store(logs) !== undefined) {
      // One stream made the whole job fail, so store each one in a job of its own.
      for (const log of logs) {
        const reason = this.#store([log])
        if (reason !== undefined) kept.push(...this.#forgo(log, reason))
      }
    }
    const entries = readEntries(this.#next, shard).map(({ bytes }) => bytes)
    const [unmended, losses] = [this.#unmended, this.#losses]
    return { entries: [...entries, ...kept], unmended, losses }
  }

  /**
   * Stores the streams in one job. Returns why the job failed; undefined if it did not.
   * @throws DiskError if a sync failed or the disk has no space
   */
  #store(logs: readonly StreamLog[]): string | undefined {
    const { shard, state, catalogue } = this.#salvaged
    const { clockMicros } = catalogue.commit
    const scratch = readCatalogue(this.#next, shard)
    assert('live' in scratch, 'a catalogue that was just written checks')
    const place = { catalogueBytes: scratch.bytes, catalogueSalt: scratch.salt }
    const checkpoint = new JournalCheckpoint({ lsn: 0, clockMicros, ...place })
    for (const log of logs) {
      log.manifestStale = true // write a new one, whatever is on the disk
      checkpoint.noteChanged(log)
    }
    const mark = { number: 0, hash: GENESIS_HASH, file: 0, endLsn: lastLsn(logs) }
    const time = { timestamp: this.#environment.nowMicros(), ageMicros: clockMicros, clockMicros }
    // Witnesses are positions in the old journals, so they do not hold for the new ones.
    const carried = { decisions: state.ledger.decisions, witnesses: [] }
    // A repair forgets no producer.
    const limits = { producerExpirySeconds: Number.POSITIVE_INFINITY, diskReserveBytes: 0 }
    const job = checkpoint.start(mark, time, logs.length, limits, carried)
    const done = runJob(this.#next, shard, job)
    assert(done.kind === 'failed' || done.kind === 'checkpoint', 'a checkpoint answers as one')
    if (done.kind === 'checkpoint') {
      // The new catalogue has their records as unwritten, and the next start tries to store them.
      for (const [at, { reason }] of done.unwritten) {
        this.#unmended.push(`the files of stream ${JSON.stringify(logs[at]?.name)}: ${reason}`)
      }
      return undefined
    }
    if (done.final || done.isForSpace) throw new DiskError('EIO', 'repair', done.reason)
    return done.reason
  }

  /**
   * Keeps the old catalogue entry of a stream whose unwritten records do not fit in the catalogue,
   * and gives these records up.
   */
  #forgo(log: StreamLog, reason: string): Buffer[] {
    const { shard, catalogue } = this.#salvaged
    const known = catalogue.live.find(({ stream }) => stream.streamId === log.id)?.stream
    const stream = log.name
    this.#unmended.push(`the files of stream ${JSON.stringify(stream)}: ${reason}`)
    const [firstOffset, nextOffset] = [known?.nextOffset ?? 0, log.durableNextOffset]
    if (nextOffset > firstOffset) {
      const why = `only the journal had them, and they cannot be stored: ${reason}`
      const range = { firstOffset, nextOffset, reason: why }
      this.#losses.push({ shard, stream, streamId: latin1ToHex(log.id), ...range })
    }
    if (known === undefined) return []
    const { name, config, producers, unwritten } = known
    const bytes = Buffer.alloc(streamEntryBytesMax(name, config, producers, unwritten))
    return [bytes.subarray(0, encodeStreamEntry(bytes, 0, known))]
  }
}

function lastLsn(logs: readonly StreamLog[]): number {
  return logs.reduce((lsn, { durableLsn }) => Math.max(lsn, durableLsn), 0)
}

/** The highest epoch of a shard's journal files that can be read. */
function epochOf(disk: Disk, shard: number): number {
  const files = listJournalFiles(disk, shard).map(number => readJournalHeader(disk, shard, number))
  return Math.max(0, ...files.map(file => file?.epoch ?? 0))
}
