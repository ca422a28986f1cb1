import { assert } from '../assert.ts'

/**
 * One word a slot. Every edge belongs to one thread, so no edge is contended:
 *
 *   Free ─appender─▶ Filling ─appender─▶ Sealed ─flusher─▶ Flushing ─flusher─▶ Free
 *                                                              └── write or sync failed ─▶ Failed (for good)
 */
export const SlotState = { Free: 0, Filling: 1, Sealed: 2, Flushing: 3, Failed: 4 } as const
export type SlotState = (typeof SlotState)[keyof typeof SlotState]

const EDGES: readonly (readonly [SlotState, SlotState])[] = [
  [SlotState.Free, SlotState.Filling],
  [SlotState.Filling, SlotState.Sealed],
  [SlotState.Sealed, SlotState.Flushing],
  [SlotState.Flushing, SlotState.Free],
  [SlotState.Flushing, SlotState.Failed],
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
  assert(
    EDGES.some(([from, to]) => from === source && to === target),
    `no edge from slot state ${source} to ${target}`,
  )
  const found = Atomics.compareExchange(words, word, source, target)
  assert(found === source, `slot is ${found}, expected ${source}`)
}
