/** One line of the source made wrong on purpose, and where that is to be noticed. */
export type Sabotage = {
  /** What is broken, in a few words. */
  readonly what: string
  /** From the project's root. */
  readonly file: string
  /** Occurs in the file exactly once. */
  readonly find: string
  readonly replace: string
  /** Parts of test paths, the likeliest first; when all of them pass, the whole area runs. */
  readonly tests: readonly string[]
  /** Whether tests notice it by never ending; or one that runs too long has noticed nothing. */
  readonly hangs?: boolean
}

const CRASH = 'integrity/crash'
const DIRECT = 'integrity/direct-io'
const TRANSACTIONS = 'integrity/transactions'

export { CRASH, DIRECT, TRANSACTIONS }
