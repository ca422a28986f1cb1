import { StoreError } from '../../shared/errors.ts'
import { clientGone } from '../shards/waiting-line.ts'

/** Share of the budget that large reads leave to small ones. */
const SMALL_SHARE = 1 / 4
const NO_ROOM =
  'the read pages in memory use up the read budget (--read-budget-bytes); try again later'

/** Bytes taken from the budget. */
export type Lease = {
  /** Sets the bytes held to the real size, which may exceed the bytes asked for. */
  resize(bytes: number): void
  /** Idempotent. */
  release(): void
}

type Waiter = { readonly bytes: number; readonly onRoom: () => void }

/**
 * Bounds the bytes of read pages in memory. Bytes are taken before a page is read, and released
 * when the client has received it. Small and large reads wait in two separate lines, and large
 * reads leave a share of the budget to small ones.
 */
export class ReadBudget {
  readonly #bytesMax: number
  readonly #largeBytesMax: number
  /** Reads of at most this many bytes count as small. */
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

  /** Takes bytes if there is room for them now. */
  tryTake(bytes: number): Lease | undefined {
    const asked = this.#bounded(bytes)
    return this.#line(asked).size === 0 && this.#hasRoom(asked) ? this.#take(asked) : undefined
  }

  /**
   * Takes bytes once there is room for them.
   * @param signal aborted when the client disconnects
   * @throws StoreError overloaded when that takes longer than `waitMs`, or `signal` is aborted
   */
  async take(bytes: number, signal: AbortSignal, waitMs?: number): Promise<Lease> {
    if (signal.aborted) throw clientGone()
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
      const fail = (failure: StoreError) => {
        leave()
        reject(failure)
        this.#serve() // the next reads in line may need fewer bytes
      }
      const onGone = () => fail(clientGone())
      const late = () => fail(new StoreError('overloaded', NO_ROOM))
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

  /** Limits a request to the share of large reads, so that any request can be met. */
  #bounded(bytes: number): number {
    return Math.min(bytes, this.#largeBytesMax)
  }

  #line(bytes: number): Set<Waiter> {
    return this.#isSmall(bytes) ? this.#small : this.#large
  }

  #isSmall(bytes: number): boolean {
    return bytes <= this.smallReadBytes
  }

  /** Pages may exceed the bytes asked for, but never take the other kind's share. */
  #hasRoom(bytes: number): boolean {
    if (this.used === 0) return true
    if (!this.#isSmall(bytes)) return this.#usedByLarge + bytes <= this.#largeBytesMax
    const shareOfSmall = this.#bytesMax - this.#largeBytesMax
    return this.used + bytes <= this.#bytesMax || this.#usedBySmall + bytes <= shareOfSmall
  }
}
