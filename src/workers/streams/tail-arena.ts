import { MIB } from '../../shared/limits.ts'

// Memory for the records that are in the journal but not yet in segments. Chunks are shared, so
// that the checkpointer writes segments straight from them, and fill in journal order, so that a
// write-back frees them whole.
//
// Invariant: a chunk's bytes do not change from when they were taken until everything in it is
// stored and the checkpoint that stored it has ended.

const CHUNK_BYTES = MIB

export type Chunk = {
  readonly memory: SharedArrayBuffer
  readonly bytes: Buffer
  used: number
  /** LSN of the last frame in it. */
  endLsn: number
}

export class TailArena {
  readonly #chunks: Chunk[] = []
  /** One empty chunk is kept, so that a steady load allocates nothing. */
  #spare: Chunk | undefined

  /** Bytes held. */
  get bytes(): number {
    return this.#chunks.reduce((sum, chunk) => sum + chunk.bytes.length, 0)
  }

  /** Copies `[from, to)` of `source`; returns the chunk and the position that it got. */
  keep(source: Buffer, from: number, to: number, endLsn: number): { chunk: Chunk; at: number } {
    const length = to - from
    let chunk = this.#chunks.at(-1)
    if (chunk === undefined || chunk.used + length > chunk.bytes.length) {
      chunk = this.#grow(length)
      this.#chunks.push(chunk)
    }
    const at = chunk.used
    source.copy(chunk.bytes, at, from, to)
    chunk.used += length
    chunk.endLsn = endLsn
    return { chunk, at }
  }

  /** Frees all memory whose frames end at or below `lsn`. */
  freeThrough(lsn: number): void {
    while (this.#chunks.length > 0 && (this.#chunks[0] as Chunk).endLsn <= lsn) {
      const chunk = this.#chunks.shift() as Chunk
      if (chunk.bytes.length === CHUNK_BYTES) this.#spare = { ...chunk, used: 0, endLsn: 0 }
    }
  }

  #grow(length: number): Chunk {
    const spare = this.#spare
    if (spare !== undefined && length <= CHUNK_BYTES) {
      this.#spare = undefined
      return spare
    }
    const memory = new SharedArrayBuffer(Math.max(CHUNK_BYTES, length))
    return { memory, bytes: Buffer.from(memory), used: 0, endLsn: 0 }
  }
}
