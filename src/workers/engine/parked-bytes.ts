import { CHAIN_PREFIX_BYTES } from '../../shared/format/chain.ts'
import type { BatchBytes, Mutation } from '../../shared/protocol/shard.ts'
import type { WaitingMutation } from './waiting-mutation.ts'

/**
 * The same mutation with its batches in memory of their own. Encoding a batch uses up the bytes
 * before it, which are those of the mutation sent before: what is overtaken must not lie there.
 */
export function withOwnBytes(waiting: WaitingMutation): WaitingMutation {
  const { mutation, bytes } = waiting
  const batches = batchesOf(mutation)
  if (batches.length === 0) return { ...waiting, bytes: Buffer.alloc(0) }
  const from = Math.min(...batches.map(({ at }) => at)) - CHAIN_PREFIX_BYTES
  const to = Math.max(...batches.map(({ at, length }) => at + length))
  return { ...waiting, mutation: moved(mutation, -from), bytes: copyOf(bytes, from, to) }
}

function batchesOf(mutation: Mutation): readonly BatchBytes[] {
  if (mutation.kind === 'append') return [mutation]
  return mutation.kind === 'transact' || mutation.kind === 'prepare' ? mutation.appends : []
}

function moved(mutation: Mutation, by: number): Mutation {
  if (mutation.kind === 'append') return { ...mutation, at: mutation.at + by }
  if (mutation.kind !== 'transact' && mutation.kind !== 'prepare') return mutation
  return { ...mutation, appends: mutation.appends.map(one => ({ ...one, at: one.at + by })) }
}

function copyOf(bytes: Buffer, from: number, to: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(to - from)
  bytes.copy(copy, 0, from, to)
  return copy
}
