import { DiskError } from './disk.ts'

/**
 * Tracks the second copies that could not be written, of files that a shard keeps twice. The
 * write-back continues with the first copy and retries the second one at each write. Only a call
 * that fails before any sync is tolerated. A failed sync is final for a second copy too, because
 * both copies are on the same disk.
 *
 * A failed copy is never appended to. It is written anew from the first one, so it is either whole
 * or missing.
 */
export class CopyFaults {
  /** Path → reason. */
  readonly #faults: Map<string, string>
  /** Copies that may hold bytes of a failed attempt that no later commit has confirmed. */
  readonly #unsettled = new Set<string>()

  constructor(faults: Iterable<readonly [path: string, reason: string]> = []) {
    this.#faults = new Map(faults)
  }

  /** Path and reason of each fault. */
  get all(): (readonly [path: string, reason: string])[] {
    return [...this.#faults]
  }

  has(path: string): boolean {
    return this.#faults.has(path)
  }

  /** Calls `act`, which writes the copy. If it fails, records the reason and returns undefined. */
  attempt<Result>(path: string, act: () => Result): Result | undefined {
    try {
      return act()
    } catch (error) {
      this.note(path, error)
      return undefined
    }
  }

  /** Records why a copy could not be written. @throws `error` unless it can be tolerated */
  note(path: string, error: unknown): void {
    if (!(error instanceof DiskError) || error.isSync || error.isForSpace) throw error
    this.#faults.set(path, error.message)
  }

  /** Notes that the copy is whole and durable. */
  noteWhole(path: string): void {
    this.#faults.delete(path)
    this.#unsettled.delete(path)
  }

  /** Notes that bytes are about to be written to the copy that no commit confirms yet. */
  noteUnsettled(path: string): void {
    this.#unsettled.add(path)
  }

  /** Notes that the copy holds nothing unconfirmed: it was cut, or a commit has followed. */
  noteSettled(path: string): void {
    this.#unsettled.delete(path)
  }

  isUnsettled(path: string): boolean {
    return this.#unsettled.has(path)
  }
}
