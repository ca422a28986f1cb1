/** What encoding took since the start, s, and how much of it ran beside a flush. */
export type EncodeCounters = {
  readonly encodedFrames: number
  readonly encodeSeconds: number
  readonly overlappedFrames: number
  /** A lower bound: a frame during which the flush ended is left out. */
  readonly overlappedSeconds: number
}

/**
 * Measures the encoding of frames: the first of the journal's two stages, the flush is the second.
 * Nothing is sealed while a frame is encoded, so a flush under way at its end was so all the time.
 */
export class EncodeMeter {
  readonly #monotonicMs: () => number
  #beganMs = 0
  #frames = { all: 0, overlapped: 0 }
  #ms = { all: 0, overlapped: 0 }

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs
  }

  get counters(): EncodeCounters {
    return {
      encodedFrames: this.#frames.all,
      encodeSeconds: this.#ms.all / 1000,
      overlappedFrames: this.#frames.overlapped,
      overlappedSeconds: this.#ms.overlapped / 1000,
    }
  }

  begin(): void {
    this.#beganMs = this.#monotonicMs()
  }

  end(isFlushing: boolean): void {
    const ms = this.#monotonicMs() - this.#beganMs
    this.#frames.all += 1
    this.#ms.all += ms
    if (!isFlushing) return
    this.#frames.overlapped += 1
    this.#ms.overlapped += ms
  }
}
