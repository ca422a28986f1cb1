import { type Answer, type Client, describe, streamPath } from './client.ts'
import { checkPage, pageOf } from './audit.ts'
import { digestOf, type StreamLedger } from './ledger.ts'
import type { FindingKind, Trial } from './trial.ts'

// Reads a stream that may be damaged as a careful client would: what is refused by name is stepped
// over, what is served is held against the ledger, and what is neither is hidden, which is a loss.

export const MODES = ['links', 'none', 'checkpoint', 'genesis'] as const
export type Mode = (typeof MODES)[number]

const PAGE = 'limit=100000&maxBytes=16777216'
/** Named ranges stepped over before the rest of a stream counts as refused. */
const STEPS_MAX = 60

/** Offsets that an answer named as unreadable, half-open. */
export type NamedRange = { readonly from: number; readonly to: number; readonly code: string }

export type DamagedAudit = {
  readonly named: readonly NamedRange[]
  readonly read: ReadonlySet<number>
}

/** Reads all of `stream` by `mode`. A refusal of what is sound is left to the caller to judge. */
export async function auditDamaged(
  trial: Trial,
  client: Client,
  stream: StreamLedger,
  mode: Mode,
): Promise<DamagedAudit> {
  const reading = new DamagedReading(trial, client, stream, mode)
  await reading.run()
  return reading
}

class DamagedReading implements DamagedAudit {
  readonly named: NamedRange[] = []
  readonly read = new Set<number>()
  readonly #trial: Trial
  readonly #client: Client
  readonly #stream: StreamLedger
  readonly #mode: Mode

  constructor(trial: Trial, client: Client, stream: StreamLedger, mode: Mode) {
    this.#trial = trial
    this.#client = client
    this.#stream = stream
    this.#mode = mode
  }

  async run(): Promise<void> {
    let from = this.#stream.trimmed
    for (let step = 0; step < STEPS_MAX; step += 1) {
      const next = await this.#step(from)
      if (next === undefined) break
      from = next
    }
    const hidden = [...this.#stream.records.keys()].filter(
      offset => !this.read.has(offset) && !this.#isNamed(offset),
    )
    if (hidden.length > 0) {
      const range = `${hidden[0]} to ${hidden.at(-1)}`
      this.#find('lost', `${hidden.length} records (${range}) neither served nor named`)
    }
  }

  /** Takes the next page, or the refusal of a range; where to go on, or undefined at the end. */
  async #step(from: number): Promise<number | undefined> {
    const answer = await this.#page(from, PAGE)
    if (answer.status === 200) return this.#take(answer, from)
    if (answer.json['code'] !== 'corrupt_record') return this.#refuse(answer, from)
    const first = Number(answer.json['firstCorruptOffset'])
    const next = Number(answer.json['nextReadableOffset'])
    if (this.#mode === 'genesis' && first < from && next > first) {
      // Damage before the page spoils it, because the chain is followed from the first record.
      this.named.push({ from, to: Number.POSITIVE_INFINITY, code: 'corrupt_record' })
      return undefined
    }
    if (!(first >= from && next > first)) {
      this.#find('wrong', `from=${from} is refused with the range ${first} to ${next}`)
      this.named.push({ from, to: Number.POSITIVE_INFINITY, code: 'corrupt_record' })
      return undefined
    }
    this.named.push({ from: first, to: next, code: 'corrupt_record' })
    if (first > from) {
      const before = await this.#page(from, `limit=${first - from}&maxBytes=16777216`)
      if (before.status === 200) this.#take(before, from)
      else if (this.#mode === 'links' || this.#mode === 'none') await this.#refuse(before, from)
      else this.named.push({ from, to: first, code: String(before.json['code']) })
    }
    // Past the end of what is known there is nothing more to ask for.
    return next >= this.#stream.nextOffset ? undefined : next
  }

  #take(answer: Answer, from: number): number | undefined {
    const { records, nextOffset, tailOffset } = pageOf(answer)
    if (tailOffset < this.#stream.nextOffset) {
      const known = this.#stream.nextOffset
      this.#find('lost', `a page says that the stream ends at ${tailOffset}, not ${known}`)
    }
    this.#check(records, from)
    for (let offset = from; offset < from + records.length; offset += 1) this.read.add(offset)
    return records.length === 0 || nextOffset >= tailOffset ? undefined : nextOffset
  }

  #check(records: ReturnType<typeof pageOf>['records'], from: number): void {
    if (this.#mode !== 'none') return checkPage(this.#trial, this.#stream, records, from)
    // Checksums alone: a whole segment that was exchanged is not seen, and not promised to be.
    const known = records.filter(
      (record, index) => this.#stream.records.get(from + index) === digestOf(record),
    )
    if (known.length < records.length) this.#trial.note('unlike records under verify=none', 1)
  }

  /** Anything that is not a range: 503 names what may be missing, all else hides it. */
  async #refuse(answer: Answer, from: number): Promise<number | undefined> {
    const { code, knownNextOffset: known } = answer.json
    if (code !== 'shard_failed') {
      this.#find(code === 'internal' ? 'wrong' : 'lost', `from=${from}: ${describe(answer)}`)
    } else if (typeof known === 'number' && known > from) {
      // Only a page that ends below the known end can be answered.
      const below = await this.#page(from, `limit=${known - from}&maxBytes=16777216`)
      if (below.status === 200) return this.#take(below, from) ?? known
    }
    this.named.push({ from, to: Number.POSITIVE_INFINITY, code: String(code) })
    return undefined
  }

  #isNamed(offset: number): boolean {
    return this.named.some(({ from, to }) => offset >= from && offset < to)
  }

  #find(kind: FindingKind, what: string): void {
    this.#trial.find(kind, `${this.#stream.name} (${this.#mode}): ${what}`)
  }

  #page(from: number, query: string): Promise<Answer> {
    const path = `${streamPath(this.#stream.name)}/records`
    return this.#client.get(`${path}?from=${from}&verify=${this.#mode}&${query}`)
  }
}
