import { StoreError } from '../../shared/errors.ts'
import type { MutationResult } from '../../shared/protocol/shard.ts'
import { type DurableWaits, inFlight } from './durable-waits.ts'
import type { TurnEntry } from './turn.ts'

/** Answers a mutation by its result, once that is durable, or at once where it may be. */
export function settle(
  entry: TurnEntry,
  result: MutationResult | undefined,
  waits: DurableWaits,
): void {
  if (result === undefined) return entry.reject(inFlight())
  if ('error' in result) return settleRefusal(entry, result, waits)
  const { value, pages, relaxed } = result
  if (relaxed) return entry.resolve(value, waits.hasReached(pages))
  waits.add(
    pages,
    () => entry.resolve(value, true),
    error => entry.reject(error),
  )
}

/** Rejects the mutation, once the state that the refusal rests on is durable. */
function settleRefusal(
  entry: TurnEntry,
  { error, pages }: Extract<MutationResult, { error: unknown }>,
  waits: DurableWaits,
): void {
  const refusal = StoreError.fromPlain(error)
  if (pages === undefined) return entry.reject(refusal)
  const lost = notApplied('shard_failed', 'the shard failed before the refusal was durable')
  waits.add(
    pages,
    () => entry.reject(refusal),
    () => entry.reject(lost),
  )
}

export function notApplied(
  code: 'shard_failed' | 'shutting_down' | 'overloaded',
  detail: string,
): StoreError {
  return new StoreError(code, detail, { outcome: 'not_applied' })
}
