import { DiskError } from './disk.ts'

/**
 * The second copies that could not be written, of the files that a shard keeps twice. The
 * write-back goes on with the first one, and tries a copy again with each write. Only a call that
 * fails before any sync is borne: a failed sync is final for a copy too, because the same disk is
 * under both.
 *
 * A copy that failed is never appended to: it is made anew from the first one, so that it is whole
 * or not there.
 */
export class CopyFaults {
  /** Path → reason. */
  readonly #faults: Map<string, string>
  /** Copies that may hold what a failed try wrote, and no commit that followed has settled. */
  readonly #unsettled = new Set<string>()

  constructor(faults: Iterable<readonly [path: string, reason: string]> = []) {
    this.#faults = new Map(faults)
  }

  /** Path and reason of each. */
  get all(): (readonly [path: string, reason: string])[] {
    return [...this.#faults]
  }

  has(path: string): boolean {
    return this.#faults.has(path)
  }

  /** Calls `act`, which writes the copy. Returns undefined, and keeps why, where it cannot. */
  attempt<Result>(path: string, act: () => Result): Result | undefined {
    try {
      return act()
    } catch (error) {
      this.note(path, error)
      return undefined
    }
  }

  /** Keeps why a copy could not be written. @throws `error` unless it may be borne */
  note(path: string, error: unknown): void {
    if (!(error instanceof DiskError) || error.isSync || error.isForSpace) throw error
    this.#faults.set(path, error.message)
  }

  /** The copy is whole, and durable. */
  noteWhole(path: string): void {
    this.#faults.delete(path)
    this.#unsettled.delete(path)
  }

  /** What is written to the copy does not hold yet. */
  noteUnsettled(path: string): void {
    this.#unsettled.add(path)
  }

  /** What a failed try wrote to the copy is cut. */
  noteCut(path: string): void {
    this.#unsettled.delete(path)
  }

  isUnsettled(path: string): boolean {
    return this.#unsettled.has(path)
  }
}
