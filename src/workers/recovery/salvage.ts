import { latin1ToHex } from '../../shared/format/bytes.ts'
import type { JournalEnds } from '../../shared/format/journal-ends.ts'
import { SLOT_BYTES } from '../../shared/limits.ts'
import type { Loss } from '../../shared/protocol/inspection.ts'
import { type Disk, DiskError } from '../disk/disk.ts'
import type { CatalogueDamage } from '../streams/catalogue-file.ts'
import { readDirectoryHeader } from './directory-header.ts'
import { JournalDamage } from './journal-walk.ts'
import type { HeldOperations } from './journaled-streams.ts'
import { loadCatalogue, missingBlock, type ShardContent, walkJournal } from './read-journal.ts'
import { type RebuiltCatalogue, rebuildCatalogue } from './rebuilt-catalogue.ts'
import { Replay, type ReplayedState } from './replay.ts'
import { salvageBlocks } from './salvaged-blocks.ts'

// Salvages a shard whose journal is refused or whose catalogue is lost. The offsets of a stream are
// dense, so an append after a gap in the journal is kept if and only if it begins at the end of its
// stream. Any other append is lost, and so are all later appends to that stream.
// A change of a stream's state is kept if and only if its checkpoint can be kept and signs the
// state that the change leads to.

export type SalvagedShard = {
  readonly shard: number
  readonly catalogue: ShardContent
  readonly state: ReplayedState
  /** The journal's end if the journal is sound, and the ends of other journals that it proves. */
  readonly ends: JournalEnds
  /** Why its journal is refused; undefined when it is sound. */
  readonly refused: string | undefined
  readonly losses: readonly Loss[]
}

/** Reads a shard as far as it can be read, and writes nothing. */
export function salvageShard(disk: Disk, shard: number, catalogue: ShardContent): SalvagedShard {
  const sound = readSound(disk, shard, catalogue, undefined)
  if (typeof sound !== 'string') {
    const { state, ends } = sound
    return { shard, catalogue, state, ends, refused: undefined, losses: [] }
  }
  const { state, losses } = readSalvaged(disk, shard, catalogue, undefined, sound)
  return { shard, catalogue, state, ends: endsOfOthers(state), refused: sound, losses }
}

/**
 * Reads a shard without a whole copy of its catalogue: from the sound entries of both copies, the
 * files of its streams and its journal. Writes nothing.
 * @throws StoreError invalid_request if varve.json and its copy are damaged
 */
export function rebuildShard(disk: Disk, shard: number, damage: CatalogueDamage): SalvagedShard {
  const { shards } = readDirectoryHeader(disk)
  const blocks = salvageBlocks(disk, shard)
  const rebuilt = rebuildCatalogue(disk, shard, shards, damage, blocks)
  const catalogue = rebuilt.content
  const sound = readSound(disk, shard, catalogue, rebuilt.held())
  const isSound = typeof sound !== 'string'
  const why = isSound ? '' : `; ${sound}`
  const refused = `the catalogue and its second copy are damaged or lost${why}`
  const { state, losses } = isSound
    ? { state: sound.state, losses: [] }
    : readSalvaged(disk, shard, catalogue, rebuilt.held(), sound)
  const lost = [catalogueLoss(shard, damage), ...unknownStreams(shard, rebuilt), ...losses]
  const all = isSound ? [...lost, ...unproved(shard, rebuilt, state)] : lost
  return { shard, catalogue, state, ends: endsOfOthers(state), refused, losses: all }
}

/** Returns the ends that a damaged journal still proves of others; its own end is not compared. */
function endsOfOthers({ ledger }: ReplayedState): JournalEnds {
  return { endLsn: Number.POSITIVE_INFINITY, witnesses: ledger.witnesses }
}

/** Returns the state of a shard if its journal is sound, otherwise why it is not. */
function readSound(
  disk: Disk,
  shard: number,
  catalogue: ShardContent,
  held: HeldOperations | undefined,
): { readonly state: ReplayedState; readonly ends: JournalEnds } | string {
  const state = loadCatalogue(catalogue)
  try {
    const options = { slotBytes: SLOT_BYTES }
    const replay = new Replay(shard, state, undefined, held)
    const { end, walk } = walkJournal(disk, shard, catalogue, options, replay)
    if (end.decision !== 'refuse') {
      return { state, ends: { endLsn: walk.endLsn, witnesses: state.ledger.witnesses } }
    }
    return missingBlock(end)
  } catch (error) {
    const isUnreadable = error instanceof DiskError && !error.isForSpace
    if (error instanceof JournalDamage || isUnreadable) return error.message
    throw error
  }
}

/** Replays a journal and skips its gaps. */
function readSalvaged(
  disk: Disk,
  shard: number,
  catalogue: ShardContent,
  held: HeldOperations | undefined,
  reason: string,
): { readonly state: ReplayedState; readonly losses: readonly Loss[] } {
  const state = loadCatalogue(catalogue)
  const losses = new LostRanges(shard, state)
  const onLost = (streamId: string, nextOffset: number) => losses.note(streamId, nextOffset)
  const replay = new Replay(shard, state, onLost, held)
  const { commit } = catalogue
  for (const block of salvageBlocks(disk, shard, { ...commit, lsn: commit.checkpointLsn })) {
    try {
      replay.apply(block)
    } catch (error) {
      if (!(error instanceof JournalDamage)) throw error
    }
  }
  return { state, losses: losses.all(reason) }
}

function catalogueLoss(shard: number, { damagedAt, damagedTo }: CatalogueDamage): Loss {
  const reason =
    `the catalogue (bytes ${damagedAt} to ${damagedTo}) and its second copy are lost, and with ` +
    'them the state of producers before the oldest journal file, deletes and trims that neither ' +
    'a manifest nor the journal names, and streams without records'
  return { shard, stream: null, streamId: null, firstOffset: null, nextOffset: null, reason }
}

/** Returns a loss for each stream directory that cannot be rebuilt. */
function unknownStreams(shard: number, { unnamed, unreadable }: RebuiltCatalogue): Loss[] {
  const none = { shard, stream: null, firstOffset: null, nextOffset: null }
  return [
    ...unnamed.map(id => {
      const reason =
        'its manifest is lost, and neither the catalogue nor the journal has the name of the stream'
      return { ...none, streamId: latin1ToHex(id), reason }
    }),
    ...unreadable.map(reason => ({ ...none, streamId: null, reason })),
  ]
}

/** Returns a loss for each stream whose end the journal does not prove. */
function unproved(shard: number, { proved }: RebuiltCatalogue, { table }: ReplayedState): Loss[] {
  return [...table.all()]
    .filter(log => log.catalogued && log.nextOffset > 0 && !proved.has(log.id))
    .map(({ name: stream, id, nextOffset }) => {
      const reason = `only its segments tell that it ends at offset ${nextOffset}`
      const range = { firstOffset: null, nextOffset: null }
      return { shard, stream, streamId: latin1ToHex(id), ...range, reason }
    })
}

/** Collects the record ranges that are lost because later blocks do not follow. */
class LostRanges {
  readonly #shard: number
  readonly #state: ReplayedState
  /** Stream id (latin1) → end of its lost records. */
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
      const stream = { shard: this.#shard, stream: log?.name ?? null, streamId: latin1ToHex(id) }
      if (firstOffset < nextOffset) return { ...stream, firstOffset, nextOffset, reason }
      const changes = `${reason}; with it changes of its configuration, closed or first offset`
      return { ...stream, firstOffset: null, nextOffset: null, reason: changes }
    })
    return [...known, unknownLoss(this.#shard, reason)]
  }
}

/** Returns the loss of a journal's part without known streams or offsets. */
export function unknownLoss(shard: number, lost: string): Loss {
  const reason = `${lost}; other streams of the shard may have lost records and changes with it`
  return { shard, stream: null, streamId: null, firstOffset: null, nextOffset: null, reason }
}
