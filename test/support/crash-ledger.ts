import * as assert from 'uvu/assert'
import type { MutationResult, MutationValue } from '../../src/shared/protocol/shard.ts'

/** What was sent to a stream that changes what it shows. */
export type Sent =
  | {
      readonly kind: 'batch'
      readonly bodies: readonly string[]
      /** Of the stream's producer; undefined: of none. */
      readonly seq?: number | undefined
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

/** So much of what was sent leads to what is there, without what was refused on the way. */
type Match = { readonly length: number; readonly applied: readonly Sent[] }

/** What the outside knows of one stream: what it sent, and how much of it was answered or read. */
export class Ledger {
  readonly #name: string
  /** Records that retention keeps at least; it may delete what lies below them. */
  readonly #keptRecords: number | undefined
  /** In order, without what is known to be refused. */
  #sent: Sent[] = []
  /** What of it was accepted: of the rest some may yet be refused. */
  #accepted = new Set<Sent>()
  /** So many of it were answered as durable, lie before an answered barrier, or were read. */
  #known = 0
  /** The highest first offset that was shown of this very stream. */
  #shownFirst = 0
  #bodies = 0
  /** Number of refused deletes. Appends sent after one may repeat those before it. */
  refusedDeletes = 0
  /** Whether the last start fits more than one state, which may differ in what producers sent. */
  #isAmbiguous = false
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
    const isClear = this.#sent.slice(0, this.#known).every(sent => this.#accepted.has(sent))
    if (this.#isAmbiguous || !isClear) return 0
    const known = this.#known - (this.#sent.length - this.#stream().length)
    return this.#stream().slice(0, Math.max(0, known)).filter(isByProducer).length
  }

  /** Offsets that the append with a seq below `knownSeq` got. */
  offsetsOf(seq: number): readonly [number, number] {
    const stream = this.#stream()
    const batch = stream.filter(isByProducer)[seq]
    const before = stream.slice(0, stream.indexOf(batch as Sent))
    const firstOffset = before.flatMap(bodiesOf).length
    return [firstOffset, firstOffset + bodiesOf(batch as Sent).length]
  }

  /** Notes what goes out. Returns what is to be called with its result. */
  note(sent: Sent): (result: MutationResult) => void {
    this.#sent.push(sent)
    return result => {
      const at = this.#sent.indexOf(sent)
      if ('error' in result && sent.kind === 'delete') this.refusedDeletes += 1
      if ('error' in result || isRepeat(result)) return void this.#sent.splice(at, 1)
      this.#accepted.add(sent)
      if (!result.relaxed) this.#known = Math.max(this.#known, at + 1)
    }
  }

  /** Notes a barrier on its way. Returns what is to be called when it is answered. */
  barrier(): () => void {
    const before = this.#sent.findLast(sent => this.#accepted.has(sent))
    return () => {
      if (before === undefined) return
      this.#known = Math.max(this.#known, this.#sent.indexOf(before) + 1)
    }
  }

  /** Notes what a reader was shown in the middle of a life. */
  read(shown: Shown): void {
    this.#known = Math.min(...this.#matches(shown).map(({ length }) => length))
    this.#noteShown(shown)
  }

  /** Holds a freshly opened stream against what is known. */
  reopened(shown: Shown): void {
    const matches = this.#matches(shown)
    const longest = matches.reduce((best, one) => (one.length > best.length ? one : best))
    this.#isAmbiguous = matches.length > 1
    this.parts = partStates(this.#sent, matches)
    // What did not survive is as if never sent; what was found was shown to a reader.
    this.#sent = [...longest.applied]
    this.#known = this.#sent.length
    this.#accepted = new Set(this.#sent)
    this.#noteShown(shown)
  }

  /**
   * How much of what was sent leads to what is there, all that is known included; more than one
   * length may, as a delete undoes what came before it.
   */
  #matches(shown: Shown): readonly Match[] {
    const matching: Match[] = []
    let known = ''
    this.#walk((length, { state, applied }) => {
      if (length < this.#known) return
      if (length === this.#known) known = describe(state.firstOffset, state.bodies, state.isClosed)
      if (this.#fits(state, shown)) matching.push({ length, applied: [...applied] })
    })
    const { firstOffset, bodies, isClosed } = shown
    const found = describe(firstOffset, { length: firstOffset + bodies.length }, isClosed)
    assert.ok(matching.length > 0, `${this.#name}: ${found} found, ${known} known: no state fits`)
    return matching
  }

  /**
   * Calls `visit` with every state that a prefix of what was sent may lead to; it changes after
   * that. A part of a transaction that was not answered may have been refused for another stream's
   * sake.
   */
  #walk(visit: (length: number, path: Path) => void): void {
    const paths: [number, Path][] = [[0, { state: empty(), applied: [] }]]
    for (let next = paths.pop(); next !== undefined; next = paths.pop()) {
      let [length] = next
      const [, path] = next
      for (visit(length, path); length < this.#sent.length; visit(length, path)) {
        const sent = this.#sent[length] as Sent
        const isAccepted = this.#accepted.has(sent)
        length += 1
        const isPart = sent.kind === 'batch' && sent.transaction !== undefined
        if (isPart && !isAccepted) paths.push([length, copyOf(path)])
        if (!isAccepted && !isAcceptable(path.state, sent)) continue
        path.applied.push(sent)
        apply(path.state, sent)
      }
    }
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

type State = {
  firstOffset: number
  bodies: string[]
  isClosed: boolean
  /** Appends of the producer. */
  produced: number
}

type Path = { readonly state: State; readonly applied: Sent[] }

function empty(): State {
  return { firstOffset: 0, bodies: [], isClosed: false, produced: 0 }
}

function copyOf({ state, applied }: Path): Path {
  return { state: { ...state, bodies: [...state.bodies] }, applied: [...applied] }
}

/** Whether a shard in this state takes it, as far as the stream alone decides. */
function isAcceptable({ bodies, isClosed, produced }: State, sent: Sent): boolean {
  switch (sent.kind) {
    case 'batch':
      return !isClosed && (sent.seq === undefined || sent.seq === produced)
    case 'trim':
      return sent.before <= bodies.length
    case 'close':
    case 'delete':
      return bodies.length > 0 // no stream is made without a record
  }
}

function apply(state: State, sent: Sent): void {
  switch (sent.kind) {
    case 'batch':
      state.bodies.push(...sent.bodies)
      if (sent.seq !== undefined) state.produced += 1
      break
    case 'trim':
      state.firstOffset = Math.max(state.firstOffset, sent.before)
      break
    case 'close':
      state.isClosed = true
      break
    case 'delete':
      Object.assign(state, empty())
  }
}

function partStates(
  sent: readonly Sent[],
  matches: readonly Match[],
): ReadonlyMap<number, PartState> {
  const parts = new Map<number, PartState>()
  for (const it of sent) {
    if (it.kind !== 'batch' || it.transaction === undefined) continue
    const found = matches.filter(({ applied }) => applied.includes(it)).length
    const state = found === 0 ? 'gone' : found === matches.length ? 'there' : 'unclear'
    parts.set(it.transaction, state)
  }
  return parts
}

function describe(firstOffset: number, { length }: { length: number }, isClosed = false): string {
  return `${firstOffset} to ${length}${isClosed ? ', closed' : ''}`
}

function bodiesOf(sent: Sent): readonly string[] {
  return sent.kind === 'batch' ? sent.bodies : []
}

/** The answer to a repeated append of a producer, which appended nothing. */
function isRepeat({ value }: { readonly value: MutationValue }): boolean {
  return value !== null && 'duplicate' in value && value.duplicate
}

function isByProducer(sent: Sent): boolean {
  return sent.kind === 'batch' && sent.seq !== undefined
}
