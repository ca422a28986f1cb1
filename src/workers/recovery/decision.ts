// What to do where the walk over the journal finds no valid next block. The table covers every
// combination; a test holds it to that. Source: faults.md, rule 5.

/** What lies where the next block would start. */
export type Found =
  /** Nothing but zeros. */
  | 'zeros'
  /**
   * Bytes of an earlier use of the file: they bear neither this use's salt nor a header's magic.
   */
  | 'stale'
  /** A sound header of this use of the file, but not a whole block that follows the last one. */
  | 'torn'
  /** Begun as a block of this use, by salt or magic, without a sound header. */
  | 'garbage'
  /** No page: the file ends here. */
  | 'end of file'

/** What to do. */
export type Decision =
  /** The journal ends here, nothing was lost. */
  | 'end'
  /** An unfinished block, answered to nobody: copy it to quarantine, then go on without it. */
  | 'cut'
  /** Something that was durable is not there: serve what the segments hold, write nothing. */
  | 'refuse'

/**
 * `vouched`: something on disk proves that the block which should be here was durable: a valid
 * later block of the same use of the journal, a `durableThrough`, or the catalogue's last commit.
 */
// biome-ignore format: read as a table
const DECISIONS: Readonly<Record<Found, { vouched: Decision; unvouched: Decision }>> = {
  'zeros':       { vouched: 'refuse', unvouched: 'end' },
  'stale':       { vouched: 'refuse', unvouched: 'end' },
  'end of file': { vouched: 'refuse', unvouched: 'end' },
  'torn':        { vouched: 'refuse', unvouched: 'cut' },
  'garbage':     { vouched: 'refuse', unvouched: 'cut' },
}

export function decide(found: Found, isVouched: boolean): Decision {
  return isVouched ? DECISIONS[found].vouched : DECISIONS[found].unvouched
}

/** Every row, for the test that looks for the missing one. */
export const FOUND: readonly Found[] = ['zeros', 'stale', 'torn', 'garbage', 'end of file']
