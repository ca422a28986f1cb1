import type { TailFrame } from '../streams/stream-log.ts'
import type { Chunk } from '../streams/tail-arena.ts'

/** The frames of a job, as numbers beside the memory that they are in. */
export class FrameList {
  readonly numbers: number[] = []
  readonly chunks: SharedArrayBuffer[] = []
  readonly #indexes = new Map<Chunk, number>()
  /** Where the number of frames of the last stream stands. */
  #countAt = 0

  /** @param flags StreamFlag, added */
  add(frames: readonly TailFrame[], flags: number): void {
    this.#countAt = this.numbers.push(flags, frames.length) - 1
    for (const { chunk, at, length } of frames) {
      let index = this.#indexes.get(chunk)
      if (index === undefined) {
        index = this.chunks.push(chunk.memory) - 1
        this.#indexes.set(chunk, index)
      }
      this.numbers.push(index, at, length)
    }
  }

  /** Adds all of `memory` as the last frame of the stream that was added last. */
  addMemory(memory: SharedArrayBuffer): void {
    const index = this.chunks.push(memory) - 1
    this.numbers.push(index, 0, memory.byteLength)
    this.numbers[this.#countAt] = (this.numbers[this.#countAt] ?? 0) + 1
  }
}
