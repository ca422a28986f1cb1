import { assert } from '../../shared/assert.ts'
import { JOURNALS_NEXT_PATH, JOURNALS_OLD_PATH, JOURNALS_PATH } from '../../shared/format/paths.ts'
import type { Disk } from '../disk/disk.ts'
import { removeTree } from '../disk/files.ts'

// A change of the shard count builds the new journals beside the old ones and then takes their
// place. In order, each step durable before the next:
//
//   1. journals.next is built from what the old shards hold in segments
//   2. varve.json gets the new count and the mark `moving`: from here the new journals hold
//   3. journals is renamed to journals.old, journals.next to journals
//   4. varve.json loses the mark
//   5. journals.old goes
//
// Whatever a crash leaves is a row of the table below. What cannot be left is refused, not guessed.

/** What lies in the data directory. */
export type MoveState = {
  readonly isMarked: boolean
  readonly journals: boolean
  readonly next: boolean
  readonly old: boolean
}

export type MoveDecision =
  /** Nothing is under way. */
  | 'open'
  /** An unfinished build, or what a finished move left: it goes. */
  | 'discard'
  /** Step 3 has to be done, or its second half; then 4 and 5. */
  | 'move'
  /** Steps 4 and 5. */
  | 'finish'
  /** No crash leaves this. */
  | 'refuse'

// biome-ignore format: read as a table; present or absent: journals, journals.next, journals.old
const DECISIONS: Readonly<Record<string, { marked: MoveDecision; unmarked: MoveDecision }>> = {
  'journals':          { unmarked: 'open',    marked: 'refuse' },
  'journals next':     { unmarked: 'discard', marked: 'move'   },
  'journals old':      { unmarked: 'discard', marked: 'finish' },
  'journals next old': { unmarked: 'discard', marked: 'refuse' },
  'next old':          { unmarked: 'refuse',  marked: 'move'   },
  'next':              { unmarked: 'refuse',  marked: 'refuse' },
  'old':               { unmarked: 'refuse',  marked: 'refuse' },
  '':                  { unmarked: 'refuse',  marked: 'refuse' },
}

export function decideMove({ isMarked, ...found }: MoveState): MoveDecision {
  const names = (['journals', 'next', 'old'] as const).filter(name => found[name])
  const row = DECISIONS[names.join(' ')]
  assert(row !== undefined, `the table has a row for ${names.join(' ')}`)
  return isMarked ? row.marked : row.unmarked
}

export function findMove(disk: Disk, isMarked: boolean): MoveState {
  return {
    isMarked,
    journals: disk.exists(JOURNALS_PATH),
    next: disk.exists(JOURNALS_NEXT_PATH),
    old: disk.exists(JOURNALS_OLD_PATH),
  }
}

/** Step 3, from wherever it stopped. */
export function moveJournals(disk: Disk): void {
  if (disk.exists(JOURNALS_PATH)) {
    disk.rename(JOURNALS_PATH, JOURNALS_OLD_PATH)
    disk.syncDirectory('')
  }
  disk.rename(JOURNALS_NEXT_PATH, JOURNALS_PATH)
  disk.syncDirectory('')
}

/** Removes what no move needs any more. */
export function discardJournals(disk: Disk): void {
  const left = [JOURNALS_NEXT_PATH, JOURNALS_OLD_PATH].filter(path => disk.exists(path))
  for (const path of left) {
    for (const name of disk.list(path)) removeTree(disk, `${path}/${name}`)
    disk.removeDirectory(path)
  }
  if (left.length > 0) disk.syncDirectory('')
}
