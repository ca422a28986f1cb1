import type { Witness } from './frame.ts'

// A frame that ends a transaction is written once others of it are durable in other shards: the
// decision after all pending frames, an outcome after the decision. Witnesses in front of it say
// how far those journals were durable then. So each journal vouches for the ends of the others.

/** How far the journal of a shard goes, and what it says of others. */
export type JournalEnds = {
  readonly endLsn: number
  /** Of each other shard at most one, the highest. */
  readonly witnesses: readonly Witness[]
}

/**
 * Says which journals end before what others vouch for, and why: durable blocks of theirs are lost.
 * @param journals by shard; undefined where one could not be read
 */
export function findLostEnds(
  journals: readonly (JournalEnds | undefined)[],
): ReadonlyMap<number, string> {
  const lost = new Map<number, string>()
  for (const [witness, journal] of journals.entries()) {
    for (const { shard, lsn } of journal?.witnesses ?? []) {
      const endLsn = journals[shard]?.endLsn
      if (endLsn === undefined || endLsn >= lsn || lost.has(shard)) continue
      const reason =
        `the journal ends at LSN ${endLsn}, and by a transaction in the journal of shard ` +
        `${witness} it was durable up to LSN ${lsn}: its end is lost, or it is an older copy`
      lost.set(shard, reason)
    }
  }
  return lost
}
