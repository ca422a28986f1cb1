import type { StreamEntry } from '../../shared/format/catalogue.ts'
import type { ShardOptions } from '../../shared/protocol/shard.ts'
import type { Disk } from '../disk/disk.ts'
import { JournalCheckpoint } from '../engine/journal-checkpoint.ts'
import { TransactionLedger } from '../engine/transaction-ledger.ts'
import type { CatalogueContent } from '../streams/catalogue-file.ts'
import { StreamLog } from '../streams/stream-log.ts'
import { StreamTable } from '../streams/stream-table.ts'
import { TailArena } from '../streams/tail-arena.ts'
import { keepUnwritten } from '../streams/unwritten-records.ts'
import { type Block, JournalDamage, JournalWalk, type WalkEnd } from './journal-walk.ts'
import type { Replay, ReplayedState } from './replay.ts'

/** What a shard is loaded from: its catalogue, or a rebuilt one. */
export type ShardContent = Pick<
  CatalogueContent,
  'commit' | 'decisions' | 'witnesses' | 'bytes' | 'salt'
> & { readonly live: readonly { readonly stream: StreamEntry }[] }

/** A journal that was read to its end. */
export type WalkedJournal = {
  readonly walk: JournalWalk
  readonly end: WalkEnd
  /** Blocks that no later block vouches for. */
  readonly unvouched: readonly Block[]
}

/** Returns a shard's state as of its catalogue's last commit. @throws JournalDamage */
export function loadCatalogue(catalogue: ShardContent): ReplayedState {
  const { checkpointLsn: lsn, clockMicros } = catalogue.commit
  const { bytes: catalogueBytes, salt: catalogueSalt } = catalogue
  const checkpoint = new JournalCheckpoint({ lsn, catalogueBytes, catalogueSalt, clockMicros })
  const table = new StreamTable()
  for (const { stream } of catalogue.live) {
    const log = StreamLog.fromEntry(stream)
    table.assign(log)
    table.makeDurable(log)
    if (stream.unwritten.length === 0) continue
    if (!keepUnwritten(log, stream.unwritten, lsn)) {
      const name = JSON.stringify(stream.name)
      throw new JournalDamage(`the catalogue's records of stream ${name} do not follow its others`)
    }
    checkpoint.noteUnwritten(log)
  }
  return {
    table,
    arena: new TailArena(),
    checkpoint,
    ledger: new TransactionLedger(catalogue),
  }
}

/** Says which durable block the journal lacks. */
export function missingBlock({ file, position, blockNumber }: WalkEnd): string {
  const block = `block ${blockNumber + 1}`
  return `journal file ${file.number}, byte ${position}: ${block} was durable and is not there`
}

/** Replays the journal from the catalogue's last commit to its end. @throws JournalDamage */
export function walkJournal(
  disk: Disk,
  shard: number,
  { commit }: ShardContent,
  options: Pick<ShardOptions, 'slotBytes'>,
  replay: Replay,
): WalkedJournal {
  const start = {
    lsn: commit.checkpointLsn,
    journalFile: commit.journalFile,
    blockNumber: commit.blockNumber,
    blockHash: commit.blockHash,
  }
  const walk = new JournalWalk(disk, shard, start, options.slotBytes)
  let unvouched: Block[] = []
  for (const block of walk.blocks()) {
    replay.apply(block)
    unvouched = unvouched.filter(({ header }) => header.number > block.header.durableThrough)
    unvouched.push(block)
  }
  return { walk, end: walk.end(), unvouched }
}
