import { checkpointOf } from '../../shared/format/checkpoint.ts'
import type { Frame } from '../../shared/format/frame.ts'
import { decodeOperation, type Operation, OperationType } from '../../shared/format/operation.ts'
import { stateHashOf } from '../../shared/format/stream-state.ts'
import type { AppendOperation } from '../streams/journaled-append.ts'
import { stateAfter } from '../streams/stream-binding.ts'
import type { StreamLog } from '../streams/stream-log.ts'

/** A change of a stream's state, and the checkpoint that follows it in its frame. */
export type SignedChange = { readonly change: Operation; readonly checkpoint: AppendOperation }

/** Returns the change in a frame; undefined if the frame holds anything else. */
export function signedChangeIn(body: Buffer, { payloadAt, end }: Frame): SignedChange | undefined {
  const change = decodeOperation(body, payloadAt, end)
  const isChange =
    change?.type === OperationType.Configure ||
    change?.type === OperationType.Close ||
    change?.type === OperationType.Trim
  if (!isChange || change.end >= end) return undefined
  const checkpoint = decodeOperation(body, change.end, end)
  if (checkpoint?.type !== OperationType.Append || checkpoint.streamId !== change.streamId) {
    return undefined
  }
  return { change, checkpoint }
}

/** Returns whether the checkpoint signs the state of `log` after the change. */
export function signsChange(
  log: StreamLog,
  { change, checkpoint }: SignedChange,
  body: Buffer,
): boolean {
  const stored = body.latin1Slice(checkpoint.recordsAt, checkpoint.end)
  return checkpointOf(stored)?.stateHash === stateHashOf(stateAfter(log.assignedState, change))
}
