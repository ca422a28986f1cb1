import { hash } from 'node:crypto'
import type { Answer, Json } from './client.ts'
import type { Trial } from './trial.ts'

// What the outside was told: by acknowledgements and by reads. It lives in the process that drives
// the faults, never in the one that suffers them.

/** One stream's share of one append or transaction. */
export type Part = { readonly stream: string; readonly digests: readonly string[] }

/** One append or transaction on its way: what becomes of it is open until it is answered. */
export class Sent {
  readonly parts: readonly Part[]
  state: 'open' | 'applied' | 'refused' = 'open'

  constructor(parts: readonly Part[]) {
    this.parts = parts
  }
}

/** A record as clients see it, without what the service adds, as one short text. */
export function digestOf(record: Json): string {
  const { text, base64, data, headers } = record
  return hash('sha256', JSON.stringify([text, base64, data, headers]), 'base64').slice(0, 22)
}

/** One stream in one life, from its creation to its deletion. */
export class StreamLedger {
  readonly name: string
  streamId: string | undefined
  /** Offset → digest, of what was acknowledged as durable or read. */
  readonly records = new Map<number, string>()
  /** Digest → append that is open or applied. */
  readonly sent = new Map<string, Sent>()
  /** Digest → its offset, of what is in `records`. */
  readonly places = new Map<string, number>()
  /** The least end that the stream can have. */
  nextOffset = 0
  /** Largest `before` of a trim that was answered, and of one that was asked for. */
  trimmed = 0
  trimAsked = 0
  deletion: 'none' | 'asked' = 'none'
  exists = false

  constructor(name: string) {
    this.name = name
  }

  /** Notes records that are durable at `firstOffset`; what contradicts it is a finding. */
  hold(trial: Trial, firstOffset: number, digests: readonly string[]): void {
    this.exists = true
    for (const [index, digest] of digests.entries()) {
      const offset = firstOffset + index
      const contradiction = this.#contradiction(offset, digest)
      if (contradiction === undefined) {
        this.records.set(offset, digest)
        this.places.set(digest, offset)
      } else trial.find('wrong', `${this.name}@${offset} ${contradiction}`)
    }
    this.nextOffset = Math.max(this.nextOffset, firstOffset + digests.length)
  }

  #contradiction(offset: number, digest: string): string | undefined {
    const known = this.records.get(offset)
    const place = this.places.get(digest)
    if (known !== undefined && known !== digest) return 'holds another record'
    if (place !== undefined && place !== offset) return `repeats the record at ${place}`
    const state = this.sent.get(digest)?.state
    if (state === undefined) return 'holds a record that nobody sent'
    return state === 'refused' ? 'holds a record whose append was refused' : undefined
  }

  /** Forgets what lies below an answered trim, for nobody can ask for it again. */
  forgetTrimmed(): void {
    for (const [offset, digest] of this.records) {
      if (offset >= this.trimmed) continue
      this.records.delete(offset)
      this.places.delete(digest)
      this.sent.delete(digest)
    }
  }

  copy(): StreamLedger {
    const copied = new StreamLedger(this.name)
    const { streamId, nextOffset, trimmed, trimAsked, deletion, exists } = this
    Object.assign(copied, { streamId, nextOffset, trimmed, trimAsked, deletion, exists })
    for (const [offset, digest] of this.records) copied.records.set(offset, digest)
    for (const [digest, sent] of this.sent) copied.sent.set(digest, sent)
    for (const [digest, offset] of this.places) copied.places.set(digest, offset)
    return copied
  }

  /** Starts the next life of the name: what was there may never be seen again. */
  rebirth(): void {
    this.streamId = undefined
    this.records.clear()
    this.sent.clear()
    this.places.clear()
    this.nextOffset = 0
    this.trimmed = 0
    this.trimAsked = 0
    this.deletion = 'none'
    this.exists = false
  }
}

/** Everything that one try told and was told. */
export class Ledger {
  readonly streams = new Map<string, StreamLedger>()
  readonly #trial: Trial
  #open: Sent[] = []
  #count = 0

  constructor(trial: Trial) {
    this.#trial = trial
  }

  /** The same knowledge for another try, which adds to its own copy. */
  copy(trial: Trial): Ledger {
    const copied = new Ledger(trial)
    copied.#count = this.#count
    for (const [name, stream] of this.streams) copied.streams.set(name, stream.copy())
    return copied
  }

  of(stream: string): StreamLedger {
    let found = this.streams.get(stream)
    if (found === undefined) {
      found = new StreamLedger(stream)
      this.streams.set(stream, found)
    }
    return found
  }

  /** A text that no other record of this try has, about `bytes` long. */
  text(bytes = 24): string {
    this.#count += 1
    return `${this.#count}.`.padEnd(bytes, `${this.#count}abcdefghijklmnopqrstuvwxyz `)
  }

  /** Notes what is about to be sent: from now on it may be there. */
  send(parts: readonly { readonly stream: string; readonly records: readonly Json[] }[]): Sent {
    const digested = parts.map(({ stream, records }) => ({
      stream,
      digests: records.map(digestOf),
    }))
    const sent = new Sent(digested)
    for (const { stream, digests } of digested) {
      for (const digest of digests) this.of(stream).sent.set(digest, sent)
    }
    this.#open.push(sent)
    return sent
  }

  /** Notes the answer to an append of one stream, and says whether it was accepted. */
  answered(sent: Sent, answer: Answer): boolean {
    const [part] = sent.parts
    if (part === undefined || answer.status !== 200) return this.#failed(sent, answer)
    const { firstOffset, nextOffset, durable, streamId } = answer.json
    const isSound =
      typeof firstOffset === 'number' && nextOffset === firstOffset + part.digests.length
    if (!isSound) {
      const said = JSON.stringify(answer.json).slice(0, 200)
      this.#trial.find('wrong', `${part.stream}: ${part.digests.length} appended, answered ${said}`)
      return false
    }
    const stream = this.of(part.stream)
    if (typeof streamId === 'string') stream.streamId ??= streamId
    if (durable === true) this.applied(sent, [firstOffset])
    return true
  }

  /** Notes that all parts of `sent` are durable, each at its first offset. */
  applied(sent: Sent, firstOffsets: readonly number[]): void {
    sent.state = 'applied'
    for (const [index, { stream, digests }] of sent.parts.entries()) {
      this.of(stream).hold(this.#trial, firstOffsets[index] as number, digests)
    }
  }

  refuse(sent: Sent): void {
    sent.state = 'refused'
  }

  /** Forgets the appends that are settled, so that a long load needs no more memory. */
  forgetSettled(): void {
    this.#open = this.#open.filter(({ state }) => state === 'open')
    for (const stream of this.streams.values()) stream.forgetTrimmed()
  }

  /**
   * Settles what was open when the process ended, once all streams have been read: each append is
   * there as a whole or not at all, and what is not there now may never come.
   */
  settle(): void {
    for (const sent of this.#open) {
      const lives = sent.parts.filter(part => this.#isOfThisLife(part, sent))
      if (sent.state !== 'open' || lives.length === 0) continue
      const found = lives.map(part => this.#foundOf(part))
      const isWhole = found.every(share => share !== 'none' && share !== 'half')
      const isAbsent = found.every(share => share === 'none' || share === 'trimmed')
      if (!isWhole && !isAbsent) {
        const shares = lives.map(({ stream }, index) => `${stream} ${found[index]}`).join(', ')
        this.#trial.find('wrong', `half of an append is there: ${shares}`)
      }
      sent.state = isAbsent ? 'refused' : 'applied'
    }
    this.#open = []
  }

  #failed(sent: Sent, answer: Answer): boolean {
    const { outcome, code } = answer.json
    if (outcome === 'not_applied') this.refuse(sent)
    else if (outcome !== 'unknown') {
      this.#trial.find('wrong', `${answer.status} ${String(code)} does not say the outcome`)
    }
    return false
  }

  #isOfThisLife({ stream, digests }: Part, sent: Sent): boolean {
    return digests.every(digest => this.of(stream).sent.get(digest) === sent)
  }

  #foundOf({ stream, digests }: Part): 'all' | 'half' | 'none' | 'trimmed' {
    const { places, trimAsked } = this.of(stream)
    const found = digests.flatMap(digest => places.get(digest) ?? [])
    const inOrder = found.every((offset, index) => offset === (found[0] ?? 0) + index)
    if (found.length === digests.length && inOrder) return 'all'
    // What lies below a trim is gone rightly, so only the end of such an append is seen.
    const isTrimmed = trimAsked > 0 && (found[0] ?? trimAsked) <= trimAsked
    if (isTrimmed && inOrder) return 'trimmed'
    return found.length === 0 ? 'none' : 'half'
  }
}
