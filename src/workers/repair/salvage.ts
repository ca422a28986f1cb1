import {
  BLOCK_HEADER_BYTES,
  blockBodyChecks,
  blockBytes,
  blockHash,
  decodeBlockHeader,
} from '../../shared/format/block.ts'
import { latin1ToHex } from '../../shared/format/bytes.ts'
import type { JournalEnds } from '../../shared/format/journal-ends.ts'
import { journalPath } from '../../shared/format/paths.ts'
import { PAGE_BYTES, SLOT_BYTES } from '../../shared/limits.ts'
import type { Loss } from '../../shared/protocol/inspection.ts'
import type { Disk } from '../disk/disk.ts'
import { readWhole } from '../disk/files.ts'
import { listJournalFiles, readJournalHeader } from '../journal/journal-files.ts'
import { type Block, JournalDamage, type WalkStart } from '../recovery/journal-walk.ts'
import { loadCatalogue, missingBlock, walkJournal } from '../recovery/open-shard.ts'
import { Replay, type ReplayedState } from '../recovery/replay.ts'
import type { CatalogueContent } from '../streams/catalogue-file.ts'

// Salvages a shard whose journal is refused. The offsets of a stream are dense, so an append after
// a gap in the journal is kept exactly if it begins at its stream's end. Any other append is lost,
// and so are all later ones of its stream.

export type SalvagedShard = {
  readonly shard: number
  readonly catalogue: CatalogueContent
  readonly state: ReplayedState
  /** How far its journal goes where it is whole, and what it says of others. */
  readonly ends: JournalEnds
  /** Why its journal is refused; undefined when it is sound. */
  readonly refused: string | undefined
  readonly losses: readonly Loss[]
}

/** Reads a shard as far as it can be read, and writes nothing. */
export function salvageShard(
  disk: Disk,
  shard: number,
  catalogue: CatalogueContent,
): SalvagedShard {
  const sound = readSound(disk, shard, catalogue)
  if (typeof sound !== 'string') {
    const { state, ends } = sound
    return { shard, catalogue, state, ends, refused: undefined, losses: [] }
  }
  const state = loadCatalogue(catalogue)
  const losses = new LostRanges(shard, state)
  const replay = new Replay(shard, state, (streamId, nextOffset) =>
    losses.note(streamId, nextOffset),
  )
  const { commit } = catalogue
  for (const block of salvageBlocks(disk, shard, { ...commit, lsn: commit.checkpointLsn })) {
    try {
      replay.apply(block)
    } catch (error) {
      if (!(error instanceof JournalDamage)) throw error
    }
  }
  // It says of others what is left of it, and its own end is known to be lost.
  const ends = { endLsn: Number.POSITIVE_INFINITY, witnesses: state.ledger.witnesses }
  return { shard, catalogue, state, ends, refused: sound, losses: losses.all(sound) }
}

/** Returns the state of a shard if its journal is sound, otherwise why it is not. */
function readSound(
  disk: Disk,
  shard: number,
  catalogue: CatalogueContent,
): { readonly state: ReplayedState; readonly ends: JournalEnds } | string {
  const state = loadCatalogue(catalogue)
  try {
    const options = { slotBytes: SLOT_BYTES }
    const { end, walk } = walkJournal(disk, shard, catalogue, options, new Replay(shard, state))
    if (end.decision !== 'refuse') {
      return { state, ends: { endLsn: walk.endLsn, witnesses: state.ledger.witnesses } }
    }
    return missingBlock(end)
  } catch (error) {
    if (error instanceof JournalDamage) return error.message
    throw error
  }
}

/** Yields the whole blocks after `start` in order, over any gaps. */
function* salvageBlocks(disk: Disk, shard: number, start: WalkStart): Generator<Block> {
  let last = { number: start.blockNumber, hash: start.blockHash }
  for (const number of listJournalFiles(disk, shard)) {
    const file = readJournalHeader(disk, shard, number)
    if (file === undefined || number < start.journalFile) continue
    const bytes = readWhole(disk, journalPath(shard, number))
    const skipped = number === start.journalFile ? start.lsn - file.firstLsn : 0
    for (let at = PAGE_BYTES + skipped; at < bytes.length; ) {
      const header = decodeBlockHeader(bytes, at)
      const isOfFile =
        header?.salt === file.salt &&
        header.epoch === file.epoch &&
        header.lsn === file.firstLsn + at - PAGE_BYTES &&
        header.number > last.number &&
        blockBodyChecks(bytes, at, header)
      const isNext = header?.number === last.number + 1
      if (!isOfFile || (isNext && header.previousHash !== last.hash)) {
        at += PAGE_BYTES
        continue
      }
      const bodyAt = at + BLOCK_HEADER_BYTES
      const body = bytes.subarray(bodyAt, bodyAt + header.bodyLength)
      yield { header, body, file: number, position: at }
      last = { number: header.number, hash: blockHash(bytes, at) }
      at += blockBytes(header.bodyLength)
    }
  }
}

/** Collects the ranges of records that later blocks show to be lost. */
class LostRanges {
  readonly #shard: number
  readonly #state: ReplayedState
  /** Stream id, latin1, to the highest offset after them. */
  readonly #ends = new Map<string, number>()

  constructor(shard: number, state: ReplayedState) {
    this.#shard = shard
    this.#state = state
  }

  note(streamId: string, nextOffset: number): void {
    this.#ends.set(streamId, Math.max(nextOffset, this.#ends.get(streamId) ?? 0))
  }

  all(reason: string): Loss[] {
    const known = [...this.#ends].map(([id, nextOffset]) => {
      const log = this.#state.table.byId(id)
      const firstOffset = log?.nextOffset ?? 0
      const stream = log?.name ?? null
      return {
        shard: this.#shard,
        stream,
        streamId: latin1ToHex(id),
        firstOffset,
        nextOffset,
        reason,
      }
    })
    return [...known, anyLoss(this.#shard, reason)]
  }
}

/** What is not known of a journal that lost a part. */
export function anyLoss(shard: number, lost: string): Loss {
  const reason = `${lost}; other streams of the shard may have lost records and changes with it`
  return { shard, stream: null, streamId: null, firstOffset: null, nextOffset: null, reason }
}
