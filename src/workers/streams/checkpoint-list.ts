import { latin1ToHex } from '../../shared/format/bytes.ts'
import { CHANGE_NAMES, decodeCheckpointBody, StateChange } from '../../shared/format/checkpoint.ts'
import { type LocatedRecord, tailRecords } from '../../shared/format/read-page.ts'
import { RecordKind } from '../../shared/format/record.ts'
import type { ReadPlan } from '../../shared/protocol/shard.ts'
import type { Checkpoint, CheckpointPage } from '../../shared/protocol/streams.ts'
import type { Disk } from '../disk/disk.ts'
import { SegmentReader } from './segment-reader.ts'

/**
 * A stream's checkpoints at or above the offset `from`, ascending. Those of one offset are never
 * parted, so a page may hold a few more than `limit`.
 * @throws StoreError corrupt_record
 */
export function listCheckpoints(
  disk: Disk,
  plan: ReadPlan,
  from: number,
  limit: number,
): CheckpointPage {
  const checkpoints: Checkpoint[] = []
  for (const located of all(disk, plan, from)) {
    const { offset } = located.record
    if (checkpoints.length >= limit && offset > (checkpoints.at(-1)?.offset ?? 0)) {
      return { checkpoints, next: offset }
    }
    checkpoints.push(view(plan, located))
  }
  return { checkpoints, next: null }
}

function* all(disk: Disk, plan: ReadPlan, from: number): Generator<LocatedRecord> {
  if (plan.stored.segment > 0 || plan.stored.segmentBytes > 0) {
    yield* new SegmentReader(disk, plan).checkpointsFrom(from)
  }
  for (const located of tailRecords(plan)) {
    const { kind, offset } = located.record
    if (kind === RecordKind.Checkpoint && offset >= from) yield located
  }
}

function view({ stream, streamId }: ReadPlan, { bytes, record }: LocatedRecord): Checkpoint {
  const body = decodeCheckpointBody(bytes, record)
  const { offset, timestamp, previousHash } = record
  const { offset: trimOffset = 0, hash = '' } = body?.trimPoint ?? {}
  return {
    stream,
    streamId: latin1ToHex(streamId),
    offset,
    chainHead: latin1ToHex(previousHash),
    recordCount: body?.recordCount ?? 0,
    timestamp,
    trimPoint: { offset: trimOffset, chainHead: latin1ToHex(hash) },
    stateHash: latin1ToHex(body?.stateHash ?? ''),
    change: CHANGE_NAMES[body?.change ?? StateChange.None],
    signature: latin1ToHex(body?.signature ?? ''),
    keyId: latin1ToHex(body?.keyId ?? ''),
  }
}
