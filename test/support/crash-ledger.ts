import * as assert from 'uvu/assert'
import type { MutationResult } from '../../src/shared/protocol/shard.ts'

/** What was sent to a stream that changes what it shows. */
export type Sent =
  | {
      readonly kind: 'batch'
      readonly bodies: readonly string[]
      readonly byProducer: boolean
      /** The transaction that it is a part of. */
      readonly transaction?: number
    }
  | { readonly kind: 'trim'; readonly before: number }
  | { readonly kind: 'close' }
  | { readonly kind: 'delete' }

/** What a reader is shown of a stream. */
export type Shown = {
  readonly firstOffset: number
  readonly bodies: readonly string[]
  readonly isClosed?: boolean
}

/** Whether a start found a part of a transaction; `unclear` where a delete took it or not. */
export type PartState = 'there' | 'gone' | 'unclear'

/** What the outside knows of one stream: what it sent, and how much of it was answered or read. */
export class Ledger {
  readonly #name: string
  /** Records that retention keeps at least; it may delete what lies below them. */
  readonly #keptRecords: number | undefined
  /** In order, without what was refused. */
  #sent: Sent[] = []
  /** So many of it were answered as durable, lie before an answered barrier, or were read. */
  #known = 0
  /** The last that was answered, durable or not. */
  #accepted: Sent | undefined
  /** The highest first offset that was shown of this very stream. */
  #shownFirst = 0
  #bodies = 0
  /** Transaction → what the last start found of its part. */
  parts: ReadonlyMap<number, PartState> = new Map()

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
    start(this.note(sent))
  }

  /** Notes what goes out. Returns what is to be called with its result. */
  note(sent: Sent): (result: MutationResult) => void {
    this.#sent.push(sent)
    return result => {
      const at = this.#sent.indexOf(sent)
      if ('error' in result) return void this.#sent.splice(at, 1)
      this.#accepted = sent
      if (!result.relaxed) this.#known = Math.max(this.#known, at + 1)
    }
  }

  /** Notes a barrier on its way. Returns what is to be called when it is answered. */
  barrier(): () => void {
    const before = this.#accepted
    return () => {
      if (before === undefined) return
      this.#known = Math.max(this.#known, this.#sent.indexOf(before) + 1)
    }
  }

  /** Notes what a reader was shown in the middle of a life. */
  read(shown: Shown): void {
    this.#known = Math.min(...this.#matchingLengths(shown))
    this.#noteShown(shown)
  }

  /** Holds a freshly opened stream against what is known. */
  reopened(shown: Shown): void {
    const lengths = this.#matchingLengths(shown)
    const [shortest, longest] = [Math.min(...lengths), Math.max(...lengths)]
    this.parts = partStates(this.#sent, shortest, longest)
    // What did not survive is as if never sent; what was found was shown to a reader.
    this.#sent = this.#sent.slice(0, longest)
    this.#known = longest
    this.#accepted = undefined
    this.#noteShown(shown)
  }

  /**
   * How much of what was sent leads to what is there, all that is known included; more than one
   * length may, as a delete undoes what came before it.
   */
  #matchingLengths(shown: Shown): number[] {
    const matching: number[] = []
    let known = ''
    walkStates(this.#sent, (length, state) => {
      if (length < this.#known) return
      if (length === this.#known) known = describe(state.firstOffset, state.bodies, state.isClosed)
      if (this.#fits(state, shown)) matching.push(length)
    })
    const { firstOffset, bodies, isClosed } = shown
    const found = describe(firstOffset, { length: firstOffset + bodies.length }, isClosed)
    assert.ok(matching.length > 0, `${this.#name}: ${found} found, ${known} known: no state fits`)
    return matching
  }

  #fits(state: State, { firstOffset, bodies, isClosed = false }: Shown): boolean {
    if (isClosed !== state.isClosed) return false
    if (Math.max(0, state.bodies.length - firstOffset) !== bodies.length) return false
    const isSame = bodies.every((body, at) => body === state.bodies[firstOffset + at])
    if (!isSame || firstOffset === state.firstOffset) return isSame
    const isRetained = this.#keptRecords !== undefined && bodies.length >= this.#keptRecords
    return isRetained && firstOffset >= Math.max(state.firstOffset, this.#shownFirst)
  }

  #noteShown({ firstOffset }: Shown): void {
    if (this.#keptRecords === undefined) return
    assert.ok(firstOffset >= this.#shownFirst, `${this.#name}: what was deleted came back`)
    this.#shownFirst = firstOffset
  }

  /** What was sent since the last delete. */
  #stream(): readonly Sent[] {
    return this.#sent.slice(this.#sent.findLastIndex(({ kind }) => kind === 'delete') + 1)
  }
}

/** Every transaction is there with all of its parts, or with none. */
export function checkTransactions(ledgers: Iterable<Ledger>): void {
  const found = new Map<number, PartState>()
  for (const { parts } of ledgers) {
    for (const [transaction, state] of parts) {
      const other = found.get(transaction) ?? 'unclear'
      const isHalf = other !== 'unclear' && state !== 'unclear' && other !== state
      assert.not(isHalf, `transaction ${transaction} is there in one stream and not in another`)
      if (state !== 'unclear') found.set(transaction, state)
    }
  }
}

type State = { firstOffset: number; bodies: string[]; isClosed: boolean }

/** Calls `visit` with the state after each prefix; it is the same object all along. */
function walkStates(sent: readonly Sent[], visit: (length: number, state: State) => void): void {
  const state: State = { firstOffset: 0, bodies: [], isClosed: false }
  visit(0, state)
  for (const [at, it] of sent.entries()) {
    if (it.kind === 'batch') state.bodies.push(...it.bodies)
    else if (it.kind === 'trim') state.firstOffset = Math.max(state.firstOffset, it.before)
    else if (it.kind === 'close') state.isClosed = true
    else Object.assign(state, { firstOffset: 0, bodies: [], isClosed: false })
    visit(at + 1, state)
  }
}

function partStates(
  sent: readonly Sent[],
  shortest: number,
  longest: number,
): ReadonlyMap<number, PartState> {
  const parts = new Map<number, PartState>()
  for (const [at, it] of sent.entries()) {
    if (it.kind !== 'batch' || it.transaction === undefined) continue
    parts.set(it.transaction, at < shortest ? 'there' : at < longest ? 'unclear' : 'gone')
  }
  return parts
}

function describe(firstOffset: number, { length }: { length: number }, isClosed = false): string {
  return `${firstOffset} to ${length}${isClosed ? ', closed' : ''}`
}

function bodiesOf(sent: Sent): readonly string[] {
  return sent.kind === 'batch' ? sent.bodies : []
}

function isByProducer(sent: Sent): boolean {
  return sent.kind === 'batch' && sent.byProducer
}
