import type { TransactionShare } from '../../shared/protocol/shard.ts'
import type { TransactionAppend } from '../store.ts'

/** What a transaction does in one shard. */
export type Part = {
  readonly shard: number
  readonly shares: readonly TransactionShare[]
  /** The batches of its shares, one behind the other. */
  readonly batch: Buffer
  /** Where in the request its appends stand, ascending. */
  readonly places: readonly number[]
}

/** The parts of a transaction in ascending order of their shards, each in that of the request. */
export function partsOf(
  appends: readonly TransactionAppend[],
  shardOf: (stream: string) => number,
): Part[] {
  const shards = new Set(appends.map(({ stream }) => shardOf(stream)))
  return [...shards]
    .sort((left, right) => left - right)
    .map(shard => {
      const own = appends.filter(({ stream }) => shardOf(stream) === shard)
      let at = 0
      const shares = own.map(({ stream, batch: { length }, count, expectedOffset }) => {
        const share = { stream, at, length, count, expectedOffset }
        at += length
        return share
      })
      const batch = Buffer.concat(own.map(append => append.batch))
      return { shard, shares, batch, places: own.map(append => appends.indexOf(append)) }
    })
}
