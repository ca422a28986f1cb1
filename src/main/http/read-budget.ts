import { StoreError } from '../../shared/errors.ts'

/** Share of the budget that large reads leave to small ones. */
const SMALL_SHARE = 1 / 4

/** Bytes of the budget that are taken. */
export type Lease = {
  /** Sets what is held, now that it is known; it may be more than was asked for. */
  resize(bytes: number): void
  /** Idempotent. */
  release(): void
}

type Waiter = { readonly bytes: number; readonly onRoom: () => void }

/**
 * Bytes of read pages in memory, bounded: they are taken before a page is read, and given back when
 * its client has taken them. Reads wait their turn in order, the small ones beside the large, which
 * leave a share to them.
 */
export class ReadBudget {
  readonly #bytesMax: number
  readonly #largeBytesMax: number
  /** What a small read may take. */
  readonly smallReadBytes: number
  readonly #small = new Set<Waiter>()
  readonly #large = new Set<Waiter>()
  #usedBySmall = 0
  #usedByLarge = 0

  constructor(bytesMax: number, smallReadBytes: number) {
    this.#bytesMax = bytesMax
    this.#largeBytesMax = bytesMax * (1 - SMALL_SHARE)
    this.smallReadBytes = smallReadBytes
  }

  get used(): number {
    return this.#usedBySmall + this.#usedByLarge
  }

  get waiting(): number {
    return this.#small.size + this.#large.size
  }

  /** Takes bytes at once, unless there is no room for them. */
  tryTake(bytes: number): Lease | undefined {
    const asked = this.#bounded(bytes)
    return this.#line(asked).size === 0 && this.#hasRoom(asked) ? this.#take(asked) : undefined
  }

  /**
   * Takes bytes once there is room for them.
   * @param signal of a client that has gone
   * @throws StoreError overloaded when that takes longer than `waitMs`, or `signal` is aborted
   */
  async take(bytes: number, signal: AbortSignal, waitMs?: number): Promise<Lease> {
    if (signal.aborted) throw hasGone()
    return this.tryTake(bytes) ?? this.#wait(this.#bounded(bytes), signal, waitMs)
  }

  #wait(bytes: number, signal: AbortSignal, waitMs: number | undefined): Promise<Lease> {
    const line = this.#line(bytes)
    return new Promise<Lease>((resolve, reject) => {
      const leave = () => {
        line.delete(waiter)
        clearTimeout(timer)
        signal.removeEventListener('abort', onGone)
      }
      const onRoom = () => {
        leave()
        resolve(this.#take(bytes))
      }
      const waiter: Waiter = { bytes, onRoom }
      const give = (failure: StoreError) => {
        leave()
        reject(failure)
        this.#serve() // those behind may need less
      }
      const onGone = () => give(hasGone())
      const late = () => give(new StoreError('overloaded', 'too many read pages are in memory'))
      const timer = waitMs === undefined ? undefined : setTimeout(late, waitMs)
      signal.addEventListener('abort', onGone)
      line.add(waiter)
    })
  }

  #take(bytes: number): Lease {
    const isSmall = this.#isSmall(bytes)
    let held = 0
    const resize = (to: number) => {
      const more = to - held
      held = to
      if (isSmall) this.#usedBySmall += more
      else this.#usedByLarge += more
      if (more < 0) this.#serve()
    }
    resize(bytes)
    return { resize, release: () => resize(0) }
  }

  #serve(): void {
    for (const line of [this.#small, this.#large]) {
      for (const { bytes, onRoom } of line) {
        if (!this.#hasRoom(bytes)) break
        onRoom()
      }
    }
  }

  /** One that is larger than all there is gets all there is. */
  #bounded(bytes: number): number {
    return Math.min(bytes, this.#largeBytesMax)
  }

  #line(bytes: number): Set<Waiter> {
    return this.#isSmall(bytes) ? this.#small : this.#large
  }

  #isSmall(bytes: number): boolean {
    return bytes <= this.smallReadBytes
  }

  /** Pages may become longer than was asked for, but never at the cost of the other kind. */
  #hasRoom(bytes: number): boolean {
    if (this.used === 0) return true
    if (!this.#isSmall(bytes)) return this.#usedByLarge + bytes <= this.#largeBytesMax
    const shareOfSmall = this.#bytesMax - this.#largeBytesMax
    return this.used + bytes <= this.#bytesMax || this.#usedBySmall + bytes <= shareOfSmall
  }
}

/** Nobody is left to be told. */
function hasGone(): StoreError {
  return new StoreError('overloaded', 'the client went before its read was begun')
}
