import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random } from '../support/random.ts'

/** How much is tried: what every run of CI can pay for, or a night's worth. */
export type Size = {
  readonly isLong: boolean
  /** Runs of the faults that draw their load: kills and power cuts. */
  readonly rounds: number
  /** Simulated histories of each kind. */
  readonly seeds: number
  /** Mutated requests. */
  readonly requests: number
  /** How long the mixed load runs whose memory is measured. */
  readonly loadMinutes: number
  readonly seed: number
}

/**
 * What can be wrong after a fault.
 *
 * - `lost`: an acknowledged or once read record is gone, or the answer hides that it may be
 * - `wrong`: a record that nobody appended there, a repeat, half of a batch, a false answer
 * - `refused`: the service refuses to start, read or append without a reason
 * - `hurt`: a stream is affected that the fault did not touch
 * - `slow`: a bound of time or memory is exceeded, hangs included
 */
export type FindingKind = 'lost' | 'wrong' | 'refused' | 'hurt' | 'slow'

/** What is wrong, and how often the same was seen. */
export type Finding = { readonly kind: FindingKind; readonly detail: string; count: number }

/** Tries that one case made in a program of its own. */
export type Tally = {
  readonly tries: number
  readonly survived: number
  readonly notApplied: number
}

/** One try of a fault. */
export type Case = {
  readonly name: string
  /** Takes as long as its size says, so no limit of time holds for it. */
  readonly isUnbounded?: boolean
  /** Ends with findings on the trial; throws only when the try itself could not be made. */
  readonly run: (trial: Trial) => Promise<void>
}

export type Need = 'root' | 'strace' | 'gcc' | 'mount' | 'prlimit'

export type Fault = {
  /** Takes hours, so it runs only when it is named. */
  readonly isOnlyByName?: boolean
  /** Whether its cases may run side by side: they measure no time and no memory. */
  readonly isParallel?: boolean
  readonly name: string
  /** One sentence for the table of docs/reliability.md. */
  readonly title: string
  readonly needs: readonly Need[]
  cases(size: Size): readonly Case[]
}

/** Trials whose servers and directories are still there. */
const openTrials = new Set<Trial>()

let isOver = false

/** Ends the servers of all trials, removes their directories, and lets no other trial begin. */
export async function closeTrials(): Promise<void> {
  isOver = true
  for (const trial of openTrials) await trial.close()
}

/** What one try has to work with, and what it found. */
export class Trial {
  readonly random: Random
  /** Measurements worth a line in the report, e.g. the slowest start. */
  readonly notes = new Map<string, number>()
  /** Why the fault was never made, if it was not. */
  notApplied: string | undefined
  /** Set by a case that stands for many tries. */
  tally: Tally | undefined
  /** By what is the same but for its numbers. */
  readonly #findings = new Map<string, Finding>()
  readonly #directory: string
  readonly #cleanUps: (() => unknown)[] = []
  #isClosed = false

  /** @throws when the run is ending */
  constructor(seed: number) {
    if (isOver) throw new Error('the run is ending')
    this.random = new Random(seed)
    this.#directory = mkdtempSync(join(tmpdir(), 'varve-torture-'))
    openTrials.add(this)
  }

  /** A path of this try below its own temporary directory; the parent exists. */
  path(name: string): string {
    const path = join(this.#directory, name)
    mkdirSync(join(path, '..'), { recursive: true })
    return path
  }

  get findings(): Finding[] {
    return [...this.#findings.values()]
  }

  find(kind: FindingKind, detail: string): void {
    const key = `${kind}: ${detail.replaceAll(/\d+/g, 'N')}`
    const known = this.#findings.get(key)
    if (known === undefined) this.#findings.set(key, { kind, detail, count: 1 })
    else known.count += 1
  }

  /** Keeps the largest `value` seen under `name`. */
  note(name: string, value: number): void {
    this.notes.set(name, Math.max(value, this.notes.get(name) ?? value))
  }

  /**
   * Runs `cleanUp` when the try has ended, whatever its result; the last added runs first. A case
   * that was cut off may continue for a while: what it adds then is cleaned up at once.
   */
  defer(cleanUp: () => unknown): void {
    if (this.#isClosed) cleanUp()
    else this.#cleanUps.push(cleanUp)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const cleanUp of this.#cleanUps.splice(0).reverse()) await cleanUp()
    openTrials.delete(this)
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 5 })
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise(done => {
    setTimeout(done, ms)
  })
}

/** Repeats `attempt` until it gives something, at most for `limitMs`. */
export async function until<Result>(
  limitMs: number,
  attempt: () => Promise<Result | undefined>,
): Promise<Result | undefined> {
  const endMs = performance.now() + limitMs
  for (;;) {
    const result = await attempt()
    if (result !== undefined || performance.now() > endMs) return result
    await sleep(50)
  }
}
