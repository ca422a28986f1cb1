import { StoreError } from '../../shared/errors.ts'
import {
  HEADER_PATH,
  JOURNALS_OLD_PATH,
  JOURNALS_PATH,
  manifestPath,
  parentPath,
  QUARANTINE_PATH,
  STREAMS_PATH,
} from '../../shared/format/paths.ts'
import { findLostEnds } from '../../shared/format/journal-ends.ts'
import { shardOf } from '../../shared/format/shard-of.ts'
import type {
  InspectionRequest,
  Loss,
  RepairReport,
  Undecided,
} from '../../shared/protocol/inspection.ts'
import type { Disk } from '../disk/disk.ts'
import { makeDirectories } from '../disk/files.ts'
import type { Environment } from '../environment.ts'
import { KeptHeads } from '../inspection/kept-heads.ts'
import { verifyDirectory } from '../inspection/verify.ts'
import { readNewest } from '../journal/journal-files.ts'
import { unknownLoss, rebuildShard, type SalvagedShard, salvageShard } from '../recovery/salvage.ts'
import { endMove } from '../recovery/data-directory.ts'
import {
  changeHeader,
  type DirectoryHeader,
  hasHeader,
  readStoredHeader,
} from '../recovery/directory-header.ts'
import { moveJournals } from '../recovery/shard-move.ts'
import { type CatalogueRead, readCatalogue, staleCopies } from '../streams/catalogue-copies.ts'
import { readLosses, writeLosses } from './losses.ts'
import { findMisplaced, type Misplaced, putBack } from './misplaced-directories.ts'
import { buildJournals, commitStaged } from './new-journals.ts'
import { quarantineOdd } from './odd-things.ts'

// Repairs a data directory that no process serves. It writes in this order, each step durable
// before the next:
//
//   0. move stream directories that lie in each other's places back
//   1. write the losses to losses.json; move entries of the wrong kind, e.g. a directory in the
//      place of a segment, to quarantine
//   2. store the readable records of the journals in segments; build new, empty journals beside the
//      old ones, as a change of the shard count does
//   3. set the mark `moving` in varve.json; move the new journals into place
//   4. move the old journals to quarantine; clear the mark in varve.json
//   5. verify the directory, and add the damaged ranges that are not stated yet to losses.json
//
// After a crash before step 3 the directory is as damaged as it was, and the repair can be run
// again. After a crash before step 5 some damage is not stated yet, and the next repair states it.

export type RepairRequest = Extract<InspectionRequest, { kind: 'repair' }>

/**
 * Returns what is damaged and what a repair gives up, and with `apply` repairs it.
 * @throws StoreError invalid_request when this is no data directory, or it cannot be repaired
 */
export function repairDirectory(
  disk: Disk,
  environment: Environment,
  request: RepairRequest,
): RepairReport {
  if (!hasHeader(disk)) throw refusal(`this is no data directory: it has no ${HEADER_PATH}`)
  const { header, stale } = readStoredHeader(disk)
  if (header.moving === true)
    throw refusal('a change of the number of shards is unfinished; start the service to finish it')
  const misplaced = findMisplaced(disk)
  const why = [...stale.map(describeStale), ...misplaced.map(describeMisplaced)]
  let examined = examine(disk, header, request, why)
  if (request.apply && misplaced.length > 0 && examined.undecided.length === 0) {
    putBack(disk, misplaced)
    examined = examine(disk, header, request, why)
  }
  const { shards, stated, reasons, losses, undecided } = examined
  const report = { reasons, losses, undecided, unmended: [], quarantine: null }
  if (reasons.length === 0 || !request.apply || undecided.length > 0) return report
  writeLosses(disk, [...(stated ?? []), ...losses])
  const unmended = shards.flatMap(({ state }) =>
    quarantineOdd(disk, environment, state.table.all()),
  )
  const notStored = buildJournals(disk, environment, shards)
  losses.push(...notStored.losses)
  unmended.push(...notStored.unmended)
  if (notStored.losses.length > 0) writeLosses(disk, [...(stated ?? []), ...losses])
  const quarantine = replaceJournals(disk, environment, header)
  losses.push(...stateRemaining(disk, header.shards))
  return { ...report, unmended, quarantine }
}

type Examined = Pick<RepairReport, 'reasons' | 'undecided'> & {
  readonly shards: readonly SalvagedShard[]
  /** Losses that are not stated yet. */
  readonly losses: Loss[]
  /** Losses that earlier repairs stated; undefined where that is not known. */
  readonly stated: readonly Loss[] | undefined
}

/**
 * Reads a directory as far as possible and writes nothing.
 * @param why reasons for a repair that are known already
 */
function examine(
  disk: Disk,
  header: DirectoryHeader,
  request: RepairRequest,
  why: readonly string[],
): Examined {
  const reasons = [...why]
  const { shards, losses } = salvageAll(disk, header.shards, reasons)
  const stated = readLosses(disk)
  if (stated === undefined) reasons.push('losses.json is damaged')
  losses.push(...damagedStreams(disk, header.shards, reasons))
  if (losses.length > 0 && reasons.length === 0) reasons.push('records of streams are damaged')
  const undecided = settle(shards, request)
  return { shards, losses, stated, reasons, undecided }
}

/** Reads all shards as far as possible, and adds to `reasons` why they need a repair. */
function salvageAll(
  disk: Disk,
  count: number,
  reasons: string[],
): { readonly shards: SalvagedShard[]; readonly losses: Loss[] } {
  const shards: SalvagedShard[] = []
  const losses: Loss[] = []
  for (let shard = 0; shard < count; shard += 1) {
    const catalogue = readCatalogue(disk, shard)
    reasons.push(...staleFiles(disk, shard, catalogue))
    const salvaged =
      'live' in catalogue
        ? salvageShard(disk, shard, catalogue)
        : rebuildShard(disk, shard, catalogue)
    shards.push(salvaged)
    if (salvaged.refused !== undefined) reasons.push(`shard ${shard}: ${salvaged.refused}`)
    losses.push(...salvaged.losses)
  }
  losses.push(...refuseLostEnds(shards, reasons))
  return { shards, losses }
}

/** Moves the new journals into place. Returns the quarantine path of the old ones. */
function replaceJournals(disk: Disk, environment: Environment, header: DirectoryHeader): string {
  const quarantine = `${QUARANTINE_PATH}/journals-${environment.nowMicros()}`
  makeDirectories(disk, QUARANTINE_PATH)
  const marked = changeHeader(disk, { ...header, moving: true })
  moveJournals(disk)
  disk.rename(JOURNALS_OLD_PATH, quarantine)
  disk.syncDirectory(QUARANTINE_PATH)
  disk.syncDirectory('')
  endMove(disk, marked)
  return quarantine
}

/** States the damage that only a verification finds, e.g. in streams of a lost catalogue. */
function stateRemaining(disk: Disk, shards: number): Loss[] {
  const left = damagedStreams(disk, shards, [])
  if (left.length > 0) writeLosses(disk, [...(readLosses(disk) ?? []), ...left])
  return left
}

/** Refuses the journals that others prove to have lost their end. */
function refuseLostEnds(shards: SalvagedShard[], reasons: string[]): Loss[] {
  return [...findLostEnds(shards.map(({ ends }) => ends))].flatMap(([shard, refused]) => {
    const salvaged = shards[shard]
    if (salvaged === undefined || salvaged.refused !== undefined) return []
    shards[shard] = { ...salvaged, refused }
    reasons.push(`shard ${shard}: ${refused}`)
    return [unknownLoss(shard, refused)]
  })
}

/** Returns a reason for each file that a start would rebuild from its second copy. */
function staleFiles(disk: Disk, shard: number, catalogue: CatalogueRead): string[] {
  const copies = 'live' in catalogue ? staleCopies(catalogue) : []
  const files = [...(readNewest(disk, shard)?.damaged ?? []), ...copies]
  return files.map(describeStale)
}

function describeMisplaced({ path, stream }: Misplaced): string {
  return `${path} holds the files of the stream ${JSON.stringify(stream)}`
}

function describeStale(file: string): string {
  return `${file} is damaged, missing or behind its second copy`
}

/**
 * Returns the damaged records in segments that no repair has stated yet, and adds to `reasons` the
 * manifests, which a repair makes again.
 */
function damagedStreams(disk: Disk, shards: number, reasons: string[]): Loss[] {
  const losses: Loss[] = []
  verifyDirectory(disk, new KeptHeads([], []), message => {
    if (message.kind !== 'finding' || message.severity !== 'damage') return
    const { file, stream, offsets, reason } = message
    if (isManifest(file)) reasons.push(`${file}: ${reason}`)
    if (stream === undefined || offsets === undefined || file.startsWith(JOURNALS_PATH)) return
    const [firstOffset, nextOffset] = offsets
    const shard = shardOf(stream, shards)
    losses.push({ shard, stream, streamId: null, firstOffset, nextOffset, reason })
  })
  return losses
}

function isManifest(file: string): boolean {
  return file.startsWith(`${STREAMS_PATH}/`) && file === manifestPath(parentPath(file))
}

/** Ends pending transactions by the readable decisions. Returns those that stay undecided. */
function settle(shards: readonly SalvagedShard[], request: RepairRequest): Undecided[] {
  const undecided: Undecided[] = []
  for (const { shard, state } of shards) {
    for (const { id, coordinator, streams } of state.ledger.all()) {
      const name = id.toString(16).padStart(16, '0')
      const source = shards[coordinator]
      const isCommitted =
        source?.state.ledger.decisions.includes(id) === true || request.commit.includes(name)
      const isAborted = source?.refused === undefined || request.abort.includes(name)
      if (isCommitted) commitStaged(state, id)
      else if (isAborted) state.ledger.resolve(id)
      else undecided.push({ id: name, shard, coordinator, streams })
    }
  }
  return undecided
}

function refusal(reason: string): StoreError {
  return new StoreError('invalid_request', `the data directory cannot be repaired: ${reason}`)
}
