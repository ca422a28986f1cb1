import { shardPath } from '../../shared/format/paths.ts'
import type { CatalogueContent } from '../streams/catalogue-file.ts'
import type { Draft } from './draft.ts'
import type { JournalCheck } from './journal-check.ts'

/** What was found in the journal of one shard. */
export type CheckedJournal = Pick<JournalCheck, 'decisions' | 'parts'> & {
  readonly shard: number
  readonly catalogue: CatalogueContent
}

/**
 * Holds the journals against each other: a committed part of a transaction proves that its
 * coordinator had decided. A journal that lost its end lacks that decision. A coordinator forgets
 * a decision once all parts are durable, and its next checkpoint leaves it out. So only a part that
 * is younger than the coordinator's last checkpoint proves a loss.
 */
export function compareJournals(journals: readonly CheckedJournal[], draft: Draft): void {
  for (const { id, shard, coordinator, since } of journals.flatMap(({ parts }) => parts)) {
    const decider = journals.find(journal => journal.shard === coordinator)
    if (decider === undefined || decider.decisions.has(id)) continue
    const { timestamp } = decider.catalogue.commit
    // Where the clock was set back the times prove nothing.
    const live = decider.catalogue.live
    const isClockSound = live.every(({ stream }) => stream.lastTimestamp <= timestamp)
    if (since <= timestamp || !isClockSound) continue
    const name = id.toString(16).padStart(16, '0')
    const reason =
      `the decision of transaction ${name} is not there, and its part in shard ${shard} is ` +
      'committed: the end of the journal is lost, or an older copy took its place'
    draft.damage({ file: shardPath(coordinator), reason })
  }
}
