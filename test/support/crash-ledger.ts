import * as assert from 'uvu/assert'
import type { MutationResult } from '../../src/shared/protocol/shard.ts'

/** What was sent to a stream that changes what it shows. */
type Sent =
  | { readonly kind: 'batch'; readonly bodies: readonly string[]; readonly byProducer: boolean }
  | { readonly kind: 'trim'; readonly before: number }
  | { readonly kind: 'delete' }

/** What a reader is shown of a stream. */
export type Shown = { readonly firstOffset: number; readonly bodies: readonly string[] }

type State = { readonly firstOffset: number; readonly bodies: readonly string[] }

/** What the outside knows of one stream: what it sent, and how much of it was answered or read. */
export class Ledger {
  readonly #name: string
  /** Records that retention keeps at least; it may let go what lies below them. */
  readonly #keptRecords: number | undefined
  /** In order, without what was refused. */
  #sent: Sent[] = []
  /** So many of it were answered as durable, or read. */
  #known = 0
  /** The highest first offset that was shown of this very stream. */
  #shownFirst = 0
  #bodies = 0

  constructor(name: string, keptRecords?: number) {
    this.#name = name
    this.#keptRecords = keptRecords
  }

  /** A body that no other record has. */
  nextBody(length: number): string {
    this.#bodies += 1
    return `${this.#name} ${this.#bodies} ${'x'.repeat(length)}`
  }

  /** The seq of the producer's next append, if all that is on its way is accepted. */
  get nextSeq(): number {
    return this.#stream().filter(isByProducer).length
  }

  /** The seqs below were answered: a repeat of one is the same again. */
  get knownSeq(): number {
    const known = this.#known - (this.#sent.length - this.#stream().length)
    return this.#stream().slice(0, Math.max(0, known)).filter(isByProducer).length
  }

  /** Offsets that the append with a seq below `nextSeq` got. */
  offsetsOf(seq: number): readonly [number, number] {
    const stream = this.#stream()
    const batch = stream.filter(isByProducer)[seq]
    const before = stream.slice(0, stream.indexOf(batch as Sent))
    const firstOffset = before.flatMap(bodiesOf).length
    return [firstOffset, firstOffset + bodiesOf(batch as Sent).length]
  }

  /** Notes what goes out; `start` gets what is to be called with its result. */
  send(sent: Sent, start: (settled: (result: MutationResult) => void) => void): void {
    this.#sent.push(sent)
    start(result => {
      const at = this.#sent.indexOf(sent)
      if ('error' in result) this.#sent.splice(at, 1)
      else this.#known = Math.max(this.#known, at + 1)
    })
  }

  /** Notes what a reader was shown in the middle of a life. */
  read(shown: Shown): void {
    this.#known = Math.min(...this.#matchingLengths(shown))
    this.#noteShown(shown)
  }

  /** Holds a freshly opened stream against what is known. */
  reopened(shown: Shown): void {
    const length = Math.max(...this.#matchingLengths(shown))
    // What did not survive is as if never sent; what was found was shown to a reader.
    this.#sent = this.#sent.slice(0, length)
    this.#known = length
    this.#noteShown(shown)
  }

  /**
   * How much of what was sent leads to what is there, all that is known included; more than one
   * length may, as a delete undoes what came before it.
   */
  #matchingLengths(shown: Shown): number[] {
    const lengths = this.#sent.map((_, at) => at + 1).concat(0)
    const matching = lengths
      .filter(length => length >= this.#known)
      .filter(length => this.#fits(stateAfter(this.#sent.slice(0, length)), shown))
    const known = stateAfter(this.#sent.slice(0, this.#known))
    const found = `${shown.firstOffset} + ${shown.bodies.length}`
    const expected = `${known.firstOffset} to ${known.bodies.length} known`
    assert.ok(matching.length > 0, `${this.#name}: ${found} records, ${expected}: no state fits`)
    return matching
  }

  #fits(state: State, { firstOffset, bodies }: Shown): boolean {
    const kept = state.bodies.slice(firstOffset)
    const isSame = kept.length === bodies.length && kept.every((body, at) => body === bodies[at])
    if (!isSame || firstOffset === state.firstOffset) return isSame
    const isRetained = this.#keptRecords !== undefined && kept.length >= this.#keptRecords
    return isRetained && firstOffset >= Math.max(state.firstOffset, this.#shownFirst)
  }

  #noteShown({ firstOffset }: Shown): void {
    if (this.#keptRecords === undefined) return
    assert.ok(firstOffset >= this.#shownFirst, `${this.#name}: what was let go came back`)
    this.#shownFirst = firstOffset
  }

  /** What was sent since the last delete. */
  #stream(): readonly Sent[] {
    return sinceDelete(this.#sent)
  }
}

function sinceDelete(sent: readonly Sent[]): readonly Sent[] {
  return sent.slice(sent.findLastIndex(({ kind }) => kind === 'delete') + 1)
}

function stateAfter(sent: readonly Sent[]): State {
  const stream = sinceDelete(sent)
  const trims = stream.map(it => (it.kind === 'trim' ? it.before : 0))
  return { firstOffset: Math.max(0, ...trims), bodies: stream.flatMap(bodiesOf) }
}

function bodiesOf(sent: Sent): readonly string[] {
  return sent.kind === 'batch' ? sent.bodies : []
}

function isByProducer(sent: Sent): boolean {
  return sent.kind === 'batch' && sent.byProducer
}
