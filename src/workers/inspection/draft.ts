import type { Finding, InspectionCounts } from '../../shared/protocol/inspection.ts'

/** What was checked so far. */
export type Counts = { -readonly [Count in keyof InspectionCounts]: InspectionCounts[Count] }

export function noCounts(): Counts {
  return {
    shards: 0,
    streams: 0,
    segments: 0,
    records: 0,
    recordBytes: 0,
    checkpoints: 0,
    heads: 0,
    journalBlocks: 0,
    journalFrames: 0,
    indexPages: 0,
  }
}

/** Findings kept back before they go out. */
const FINDINGS_MAX = 1000

/**
 * What the check of one part (a journal, a stream) found and counted. It is kept back to its end,
 * because a server may change the part meanwhile and then it is checked again; past FINDINGS_MAX
 * findings go out as they come.
 */
export class Draft {
  readonly counts = noCounts()
  readonly #spill: (findings: readonly Finding[]) => void
  /** Told of bytes as they are checked. */
  readonly advance: (bytes: number) => void
  #findings: Finding[] = []
  /** Position of the last damage in `#findings`. */
  #lastDamage = -1
  #damaged = false
  #spilled = false

  constructor(spill: (findings: readonly Finding[]) => void, advance: (bytes: number) => void) {
    this.#spill = spill
    this.advance = advance
  }

  get isDamaged(): boolean {
    return this.#damaged
  }

  /** Whether findings went out, so that there is no checking again. */
  get isSpilled(): boolean {
    return this.#spilled
  }

  /** Takes a note; what continues the one before it, in the same words, makes one with it. */
  note(finding: Omit<Finding, 'severity'>): void {
    const last = this.#findings.at(-1)
    const isSame = last?.severity === 'note' && last.reason === finding.reason
    const joined = isSame ? join(last, finding) : undefined
    if (joined !== undefined) {
      this.#findings[this.#findings.length - 1] = joined
      return
    }
    this.#add({ ...finding, severity: 'note' })
  }

  /** Takes a damage; what continues the damage before it makes one range with it. */
  damage(finding: Omit<Finding, 'severity'>): void {
    this.#damaged = true
    const last = this.#findings[this.#lastDamage]
    const joined = last && join(last, finding)
    if (joined !== undefined) {
      this.#findings[this.#lastDamage] = joined
      return
    }
    this.#add({ ...finding, severity: 'damage' })
    this.#lastDamage = this.#findings.length - 1
  }

  /** Hands out what is still kept back. */
  finish(): void {
    this.#spill(this.#findings)
    this.#findings = []
    this.#lastDamage = -1
  }

  #add(finding: Finding): void {
    if (this.#findings.length === FINDINGS_MAX) {
      this.#spilled = true
      this.finish()
    }
    this.#findings.push(finding)
  }
}

/** One finding for two whose ranges touch; undefined when they do not. */
function join(last: Finding, next: Omit<Finding, 'severity'>): Finding | undefined {
  const { offsets, bytes } = last
  if (last.file !== next.file || last.stream !== next.stream) return undefined
  if (offsets === undefined || next.offsets === undefined) return undefined
  if (bytes === undefined || next.bytes === undefined) return undefined
  if (next.offsets[0] > offsets[1] || next.bytes[0] > bytes[1]) return undefined
  if (next.offsets[0] < offsets[0]) return undefined
  return {
    ...last,
    offsets: [offsets[0], Math.max(offsets[1], next.offsets[1])],
    bytes: [bytes[0], Math.max(bytes[1], next.bytes[1])],
  }
}
