import { assert } from '../../shared/assert.ts'
import type { JournalEnds } from '../../shared/format/journal-ends.ts'
import type { JournalHeader } from '../../shared/format/journal-header.ts'
import { journalPath, QUARANTINE_PATH, shardPath } from '../../shared/format/paths.ts'
import { blockBytes } from '../../shared/format/block.ts'
import { PAGE_BYTES } from '../../shared/limits.ts'
import type {
  FoundTransactions,
  RecoveryReport,
  ShardOptions,
} from '../../shared/protocol/shard.ts'
import type { StreamDamage } from '../../shared/protocol/streams.ts'
import { CopyFaults } from '../disk/copy-faults.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import { makeDirectories, readFully, replaceFile, withFile, writeFully } from '../disk/files.ts'
import { runSteps } from '../disk/sync-steps.ts'
import type { Environment } from '../environment.ts'
import {
  freeJournalFiles,
  listJournalFiles,
  prepareJournalFile,
  readNewest,
} from '../journal/journal-files.ts'
import type { JournalEnd } from '../journal/log-buffer.ts'
import {
  copyCatalogue,
  readCatalogue,
  settleCatalogue,
  staleCopies,
  type StoredCatalogue,
} from '../streams/catalogue-copies.ts'
import { Removal } from '../streams/removal.ts'
import { releaseSegments, trimmedLast } from '../streams/trimmed-segments.ts'
import { type Block, JournalDamage, type WalkEnd } from './journal-walk.ts'
import { loadCatalogue, missingBlock, type WalkedJournal, walkJournal } from './read-journal.ts'
import { Replay, type ReplayCounts, type ReplayedState } from './replay.ts'
import { rebuildShard } from './salvage.ts'
import { checkTails } from './stored-tails.ts'

// Every start of a shard is a recovery:
//
//   read     1. read the catalogue: its last commit gives the ends of segments, and where the
//               journal starts
//            2. walk the journal from there, and replay its frames
//   settle   3. write the catalogue's last commit again; remove the files that it made obsolete
//            4. write the blocks again that no later block vouches for, because they may be in the
//               page cache alone
//   begin    5. copy an unfinished last block to quarantine
//            6. make a new journal file with a new epoch; appends go there
//            7. check the last stored record of each stream that the journal changed, and name
//               damage before anybody reads it
//
// Reading writes nothing; each later step is durable before the next. If step 2 finds that
// something durable is missing, recovery stops there, and the shard serves the records that the
// catalogue and the segments hold. If both copies of the catalogue are lost, the shard serves what
// the files of its streams and the journal give (salvage.ts); nothing is written then either.
//
// A transaction that is pending at the journal's end is in doubt. It holds its streams until the
// front end has asked its coordinator. No write-back passes its frame, so every start finds it
// again.

/** The result of `begin`: all that a shard needs to take changes. */
export type BegunShard = {
  readonly journal: JournalEnd
  readonly report: RecoveryReport
  readonly transactions: FoundTransactions
  /** Damage at the ends of segments, found without a read of the stream. */
  readonly damage: readonly StreamDamage[]
  /** Second copies that cannot be written, and why. */
  readonly copyFaults: readonly (readonly [path: string, reason: string])[]
}

/** A shard's state as recovery found or made it. */
export type RecoveredShard = ReplayedState &
  (
    | (BegunShard & { readonly refused: null })
    | {
        readonly journal: null
        readonly report: null
        readonly refused: string
        readonly transactions: null
        readonly damage: readonly []
        readonly copyFaults: readonly []
      }
  )

/** The recovery of one shard in its three parts: `read`, `settle` and `begin`. */
export class ShardRecovery {
  readonly #disk: Disk
  readonly #environment: Environment
  readonly #shard: number
  readonly #options: ShardOptions
  readonly #startedMs: number
  /** Undefined if neither copy is whole. */
  readonly #catalogue: StoredCatalogue | undefined
  #walked: Walked | undefined
  /** The streams: up to the journal's end, or, where it was refused, as the catalogue has them. */
  state: ReplayedState
  /** Why the journal was refused, if it was. Nothing may be written then. */
  refused: string | null = null

  private constructor(
    disk: Disk,
    environment: Environment,
    shard: number,
    options: ShardOptions,
    catalogue: StoredCatalogue | undefined,
    state: ReplayedState,
  ) {
    this.#disk = disk
    this.#environment = environment
    this.#shard = shard
    this.#options = options
    this.#startedMs = environment.monotonicMs()
    this.#catalogue = catalogue
    this.state = state
  }

  /** Reads a shard from disk, and writes nothing. @throws DiskError */
  static read(
    disk: Disk,
    environment: Environment,
    shard: number,
    options: ShardOptions,
  ): ShardRecovery {
    const catalogue = readCatalogue(disk, shard)
    if (!('live' in catalogue)) {
      const { state, refused } = rebuildShard(disk, shard, catalogue)
      const lost = new ShardRecovery(disk, environment, shard, options, undefined, state)
      lost.refused = refused ?? null
      state.table.judge()
      return lost
    }
    const state = loadCatalogue(catalogue)
    const recovery = new ShardRecovery(disk, environment, shard, options, catalogue, state)
    recovery.#walk(catalogue)
    return recovery
  }

  #walk(catalogue: StoredCatalogue): void {
    const replay = new Replay(this.#shard, this.state)
    try {
      const found = walkJournal(this.#disk, this.#shard, catalogue, this.#options, replay)
      const { end } = found
      if (end.decision === 'refuse') {
        throw new JournalDamage(missingBlock(end))
      }
      this.#walked = { ...found, counts: replay.counts }
      this.state.table.judge()
    } catch (error) {
      const isUnreadable = error instanceof DiskError && !error.isForSpace
      if (!(error instanceof JournalDamage || isUnreadable)) throw error
      this.refuse(error.message)
    }
  }

  /** What to hold against other shards' journals; null where this one is refused. */
  get ends(): JournalEnds | null {
    if (this.refused !== null) return null
    return { endLsn: this.#found.walk.endLsn, witnesses: this.state.ledger.witnesses }
  }

  /** Refuses the journal for what another shard's says, before anything was written. */
  refuse(reason: string): void {
    this.refused = reason
    this.state = loadCatalogue(this.#known)
    this.state.table.judge()
  }

  /**
   * Makes durable what was read, and removes the files that the last write-back made obsolete.
   * Needs no room on the disk. Afterwards the streams may be read. @throws DiskError
   */
  settle(): void {
    const { live, lastCheckpointAt, commit, removed } = this.#known
    settleCatalogue(this.#disk, this.#known)
    freeJournalFiles(this.#disk, this.#shard, commit.journalFile)
    runSteps(this.#disk, releaseSegments(this.#disk, trimmedLast(live, lastCheckpointAt)))
    const removal = new Removal(this.#disk)
    removal.removeStreams(removed)
    runSteps(this.#disk, removal.settle())
    writeAgain(this.#disk, this.#shard, this.#found.unvouched)
  }

  /**
   * Starts a new epoch in a new journal file. May be called again after a failure for want of
   * space. @throws DiskError
   */
  begin(): BegunShard {
    const { walk, end, counts } = this.#found
    const notes = readNewest(this.#disk, this.#shard)?.damaged ?? []
    const rebuilt = [...staleCopies(this.#known), ...notes]
    const faults = new CopyFaults()
    copyCatalogue(this.#disk, this.#known, faults)
    if (end.decision === 'cut') quarantine(this.#disk, this.#shard, end)
    const journal = openEpoch(this.#disk, this.#environment, walk.file, end, this.#options, faults)
    const { ledger, table, checkpoint } = this.state
    const damage = checkTails(this.#disk, checkpoint.changed)
    const report: RecoveryReport = {
      streams: table.size,
      ...counts,
      cutBytes: end.cutBytes,
      inDoubt: ledger.stagedCount,
      epoch: journal.file.epoch,
      rebuilt: rebuilt.filter(path => !faults.has(path)),
      milliseconds: Math.round(this.#environment.monotonicMs() - this.#startedMs),
    }
    const transactions = { ...ledger.found(), endLsn: walk.endLsn }
    return { journal, report, transactions, damage, copyFaults: faults.all }
  }

  get #known(): StoredCatalogue {
    assert(this.#catalogue !== undefined, 'nothing is written if the catalogue is lost')
    return this.#catalogue
  }

  get #found(): Walked {
    assert(this.#walked !== undefined, 'nothing is written where the journal is refused')
    return this.#walked
  }
}

/** A journal that was read to its end, and what its replay applied. */
type Walked = WalkedJournal & { readonly counts: ReplayCounts }

const NOT_BEGUN = {
  journal: null,
  report: null,
  transactions: null,
  damage: [],
  copyFaults: [],
} as const

/** Opens a shard from disk. @throws DiskError */
export function recoverShard(
  disk: Disk,
  environment: Environment,
  shard: number,
  options: ShardOptions,
): RecoveredShard {
  const recovery = ShardRecovery.read(disk, environment, shard, options)
  const { state, refused } = recovery
  if (refused !== null) {
    return { ...state, refused, ...NOT_BEGUN }
  }
  recovery.settle()
  return { ...state, ...recovery.begin(), refused: null }
}

/** Returns how far a shard's journal goes, or why a start would refuse it. Changes nothing. */
export function examineShard(
  disk: Disk,
  shard: number,
  options: ShardOptions,
): JournalEnds | string {
  const catalogue = readCatalogue(disk, shard)
  if (!('live' in catalogue)) return 'its catalogue and the second copy are damaged'
  const state = loadCatalogue(catalogue)
  try {
    const replay = new Replay(shard, state)
    const { end, walk } = walkJournal(disk, shard, catalogue, options, replay)
    if (end.decision === 'refuse') return missingBlock(end)
    return { endLsn: walk.endLsn, witnesses: state.ledger.witnesses }
  } catch (error) {
    if (error instanceof JournalDamage) return error.message
    throw error
  }
}

function quarantine(disk: Disk, shard: number, end: WalkEnd): void {
  makeDirectories(disk, QUARANTINE_PATH)
  const bytes = withFile(disk, journalPath(shard, end.file.number), 'read', file =>
    readFully(disk, file, end.position, end.cutBytes),
  )
  const name = `shard-${shard}-epoch-${end.epoch}-file-${end.file.number}-at-${end.position}.cut`
  replaceFile(disk, `${QUARANTINE_PATH}/${name}`, bytes)
}

/** Writes blocks again and syncs them, because they may be in the page cache alone. */
function writeAgain(disk: Disk, shard: number, blocks: readonly Block[]): void {
  for (const { header, file: number, position } of blocks) {
    withFile(disk, journalPath(shard, number), 'update', file => {
      const bytes = readFully(disk, file, position, blockBytes(header.bodyLength))
      writeFully(disk, file, bytes, position)
      disk.sync(file)
    })
  }
}

/** Makes the journal file of the new epoch. An empty or cut file of that number is replaced. */
function openEpoch(
  disk: Disk,
  environment: Environment,
  last: JournalHeader,
  end: WalkEnd,
  options: ShardOptions,
  faults: CopyFaults,
): JournalEnd {
  const file: JournalHeader = {
    shard: last.shard,
    epoch: end.epoch + 1,
    number: last.number + 1,
    firstLsn: last.firstLsn + last.capacity,
    capacity: options.journalFileBytes - PAGE_BYTES,
    salt: environment.randomBytes(16),
  }
  prepareJournalFile(disk, file, faults)
  removeFilesAbove(disk, file)
  return {
    file,
    position: PAGE_BYTES,
    blockNumber: end.blockNumber,
    blockHash: end.blockHash,
  }
}

/** Removes files prepared after a replaced one: their LSNs no longer fit, so no block counts. */
function removeFilesAbove(disk: Disk, { shard, number }: JournalHeader): void {
  const above = listJournalFiles(disk, shard).filter(file => file > number)
  for (const file of above) disk.remove(journalPath(shard, file))
  if (above.length > 0) disk.syncDirectory(shardPath(shard))
}
