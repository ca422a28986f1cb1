import * as assert from 'uvu/assert'
import { DiskError } from '../../src/workers/disk/disk.ts'

// Which operation of a simulated disk fails.

/** Operations that may fail; `openDirect` is the opening past the page cache, beside `open`. */
export type DiskOperation =
  | 'open'
  | 'openDirect'
  | 'read'
  | 'write'
  | 'truncate'
  | 'sync'
  | 'syncDirectory'
  | 'list'
  | 'makeDirectory'
  | 'rename'
  | 'remove'
  | 'removeDirectory'

/**
 * Fails an operation, counted from 1: one of a kind since the disk was made, or, for `any`, the
 * operations of all kinds since the fault was set.
 */
export type DiskFault = {
  readonly operation: DiskOperation | 'any'
  readonly at: number
  readonly code: 'EIO' | 'ENOSPC' | 'EROFS' | 'EMFILE' | 'EINVAL'
  /** Whether every later one fails too. */
  readonly lasts?: boolean
}

export class FaultPlan {
  readonly #counts = new Map<DiskOperation, number>()
  readonly #failedSyncs = new Set<unknown>()
  #fault: DiskFault | undefined
  #sinceSet = 0
  /** Operations that failed since the fault was set. */
  hits = 0

  set(fault: DiskFault | undefined): void {
    this.#fault = fault
    this.#sinceSet = 0
    this.hits = 0
  }

  count(operation: DiskOperation): number {
    return this.#counts.get(operation) ?? 0
  }

  /** @throws DiskError when it is this one's turn to fail */
  check(operation: DiskOperation, path: string): void {
    const count = this.count(operation) + 1
    this.#counts.set(operation, count)
    this.#sinceSet += 1
    const fault = this.#fault
    if (fault === undefined) return
    const isAny = fault.operation === 'any'
    if (!isAny && fault.operation !== operation) return
    const at = isAny ? this.#sinceSet : count
    if (fault.lasts === true ? at < fault.at : at !== fault.at) return
    this.hits += 1
    throw new DiskError(fault.code, operation, path)
  }

  /** The same for a sync of a file or directory: one that failed is never tried again. */
  checkSync(operation: 'sync' | 'syncDirectory', path: string, what: unknown): void {
    assert.not(this.#failedSyncs.has(what), `the failed sync of ${path} was tried again`)
    try {
      this.check(operation, path)
    } catch (error) {
      this.#failedSyncs.add(what)
      throw error
    }
  }

  /** The process is gone, and with it what it knew of failures. */
  forget(): void {
    this.set(undefined)
    this.forgetSyncs()
  }

  /** A start follows: it writes again what it believes, so its syncs repeat no sync before it. */
  forgetSyncs(): void {
    this.#failedSyncs.clear()
  }
}
