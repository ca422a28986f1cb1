/** One line of the table of faults that were tried. */
export type FuzzRow = {
  readonly fault: string
  readonly tries: number
  /** Tries after which everything that must hold did. */
  readonly survived: number
  /** Acknowledged records that were read back, where the fault has any. */
  readonly records?: number
  /** Those of them that were not there, or not as they were sent. */
  readonly lost: number
  readonly seconds: number
  /** The largest resident memory of the process that was fuzzed, where it is known. */
  readonly residentMiB?: number
  /** How many failures there were, and what is needed to do the first few again. */
  readonly failed: number
  readonly failures: readonly string[]
}

const FAILURES_KEPT = 20
/** Of the same fault, which mostly has one cause. */
const ALIKE_KEPT = 3
const SHOWN_CHARACTERS = 600
/** The same character again and again, as in names that are too long. */
const RUN = /(.)\1{30,}/g

/** Counts tries, and keeps what went wrong. */
export class FuzzReport {
  readonly #startedMs = performance.now()
  readonly #fault: string
  readonly #failures: string[] = []
  #tries = 0
  #failed = 0
  records = 0
  lost = 0
  residentMiB = 0

  constructor(fault: string) {
    this.#fault = fault
  }

  survived(): void {
    this.#tries += 1
  }

  /** @param fault what went wrong, in words that are the same each time @param input what did it */
  failed(fault: string, input: Buffer, answer = ''): void {
    this.#tries += 1
    const text = JSON.stringify(input.toString('latin1'))
    const short = text.replaceAll(RUN, ([first = '']) => `${first}...${first}`)
    this.note(fault, `${answer} after ${short}`)
  }

  /** Notes what no one try can be blamed for. */
  note(fault: string, detail = ''): void {
    this.#failed += 1
    const alike = this.#failures.filter(failure => failure.startsWith(fault)).length
    if (alike >= ALIKE_KEPT || this.#failures.length >= FAILURES_KEPT) return
    this.#failures.push(`${fault} ${detail}`.slice(0, SHOWN_CHARACTERS))
  }

  row(): FuzzRow {
    const seconds = Math.round((performance.now() - this.#startedMs) / 100) / 10
    return {
      fault: this.#fault,
      tries: this.#tries,
      survived: Math.max(0, this.#tries - this.#failed),
      ...(this.records === 0 ? {} : { records: this.records }),
      lost: this.lost,
      seconds,
      ...(this.residentMiB === 0 ? {} : { residentMiB: this.residentMiB }),
      failed: this.#failed,
      failures: this.#failures,
    }
  }
}
