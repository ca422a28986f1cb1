import { LOSSES_PATH, STREAMS_PATH } from '../../shared/format/paths.ts'
import { decodeSealedJson, encodeSealedJson } from '../../shared/format/sealed-json.ts'
import type { Finding, Loss } from '../../shared/protocol/inspection.ts'
import type { Disk } from '../disk/disk.ts'
import { readWhole, replaceFile } from '../disk/files.ts'

// losses.json states what repairs have given up. Without it a repaired directory would look like
// one that never lost anything.

const LOSSES_FORMAT = 1

type Losses = { readonly format: number; readonly losses: readonly Loss[] }

/** Returns the losses that earlier repairs stated; undefined if losses.json is damaged. */
export function readLosses(disk: Disk): readonly Loss[] | undefined {
  if (!disk.exists(LOSSES_PATH)) return []
  const found = decodeSealedJson(readWhole(disk, LOSSES_PATH)) as Losses | undefined
  return found?.format === LOSSES_FORMAT ? found.losses : undefined
}

export function writeLosses(disk: Disk, losses: readonly Loss[]): void {
  const body: Losses = { format: LOSSES_FORMAT, losses }
  replaceFile(disk, LOSSES_PATH, encodeSealedJson(body))
}

/** Returns a loss as a finding of a verification. */
export function describeLoss({ shard, stream, streamId, ...loss }: Loss): Finding {
  const { firstOffset, nextOffset } = loss
  const whose = stream === null && streamId !== null ? `stream id ${streamId}: ` : ''
  const reason = `given up by a repair of shard ${shard}: ${whose}${loss.reason}`
  const hasOffsets = firstOffset !== null && nextOffset !== null
  return {
    file: LOSSES_PATH,
    ...(stream !== null && { stream }),
    ...(hasOffsets && { offsets: [firstOffset, nextOffset] }),
    reason,
    severity: 'note',
  }
}

/** Whether a finding is about records in segments that a repair has given up. */
export function isOfLoss(loss: Loss, { file, stream, offsets }: Finding): boolean {
  const { firstOffset, nextOffset } = loss
  if (stream === undefined || stream !== loss.stream || !file.startsWith(STREAMS_PATH)) return false
  if (offsets === undefined || firstOffset === null || nextOffset === null) return false
  return offsets[0] >= firstOffset && offsets[1] <= nextOffset
}
