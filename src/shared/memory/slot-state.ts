import { assert } from '../assert.ts'

/**
 * One word a slot. The shard thread may end the flusher's work at any moment, for good; its edges
 * to Failed are the only ones that two threads contend for:
 *
 *   Free ─appender─▶ Filling ─appender─▶ Sealed ─flusher─▶ Flushing ─flusher─▶ Synced
 *    ▲                                     │                  │ │                │
 *    └──────────────── flusher ────────────┼──────────────────┼─┼────────────────┘
 *                                          │                  │ └── write or sync failed ─▶ Failed
 *                                          └── shard failed ──┴─▶ Failed
 *
 * Synced: the block is on stable storage and its LSN is being published. It can no longer fail.
 */
export const SlotState = {
  Free: 0,
  Filling: 1,
  Sealed: 2,
  Flushing: 3,
  Failed: 4,
  Synced: 5,
} as const
export type SlotState = (typeof SlotState)[keyof typeof SlotState]

const EDGES: readonly (readonly [SlotState, SlotState])[] = [
  [SlotState.Free, SlotState.Filling],
  [SlotState.Filling, SlotState.Sealed],
  [SlotState.Sealed, SlotState.Flushing],
  [SlotState.Sealed, SlotState.Failed],
  [SlotState.Flushing, SlotState.Synced],
  [SlotState.Flushing, SlotState.Failed],
  [SlotState.Synced, SlotState.Free],
]

/**
 * Moves a slot's word along a legal edge. The exchange also publishes every byte that this thread
 * wrote to the slot before it.
 * @throws InvariantError when the edge is none, or the slot was not in `source`
 */
export function advance(
  words: Int32Array,
  word: number,
  source: SlotState,
  target: SlotState,
): void {
  const found = exchange(words, word, source, target)
  assert(found === source, `slot is ${found}, expected ${source}`)
}

/**
 * Moves a slot's word along a legal edge that another thread contends for. Returns whether the slot
 * was still in `source`.
 * @throws InvariantError when the edge is none
 */
export function tryAdvance(
  words: Int32Array,
  word: number,
  source: SlotState,
  target: SlotState,
): boolean {
  return exchange(words, word, source, target) === source
}

function exchange(words: Int32Array, word: number, source: SlotState, target: SlotState): number {
  assert(
    EDGES.some(([from, to]) => from === source && to === target),
    `no edge from slot state ${source} to ${target}`,
  )
  return Atomics.compareExchange(words, word, source, target)
}
