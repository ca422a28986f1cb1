import type { ReadPlan, ReadRange } from '../../shared/protocol/shard.ts'
import type { ReadRequest } from '../../shared/protocol/streams.ts'

/** Everything that is kept, and all of it that is in memory. */
export const WHOLE_STREAM: ReadRange = {
  from: 'start',
  direction: 'forward',
  limit: Number.MAX_SAFE_INTEGER,
  maxBytes: Number.MAX_SAFE_INTEGER,
  since: undefined,
  wholeTail: true,
  fromCheckpoint: false,
}

/** Returns what a shard is asked to plan for a read. */
export function rangeOf(request: ReadRequest): ReadRange {
  const { from, direction, limit, maxBytes, since, after, verify } = request
  const range = { from, direction, limit, maxBytes, since }
  const chain = { wholeTail: verify === 'genesis', fromCheckpoint: verify === 'checkpoint' }
  return after === undefined ? { ...range, ...chain } : { ...range, ...chain, after }
}

/** The same for a verification of `[from, to)`, clipped to what there is. */
export function rangeToVerify({ from, to }: { from?: number; to?: number }): ReadRange {
  const range = { ...WHOLE_STREAM, fromCheckpoint: true, verified: { from, to } }
  return to === undefined ? range : { ...range, below: to }
}

/** Whether what `plan` asks for may be gone by now. Ends: each time more is gone. */
export function wasTrimmed(plan: ReadPlan, current: ReadPlan): boolean {
  const { trimPoint, firstOffset, streamId } = current
  return (
    trimPoint.offset > plan.trimPoint.offset ||
    firstOffset > plan.firstOffset ||
    streamId !== plan.streamId
  )
}
