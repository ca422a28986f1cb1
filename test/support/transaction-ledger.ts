import * as assert from 'uvu/assert'

// What the outside knows of a store with transactions, and what it may find there.

/** Something that was sent: a plain append has one part, a transaction one a stream. */
export type Sent = {
  readonly name: string
  /** Stream → bodies of its records, each unlike any other. */
  readonly parts: Map<string, readonly string[]>
  readonly expected: Map<string, number>
  readonly at: number
  /** Life of the shard's threads. What one life accepted is in order in the journal. */
  readonly life: number
  /** Whether threads died before it was answered, so that it may be of a later life. */
  outlivedThreads: boolean
  /** When it was accepted, as far as is known. */
  acceptedAt: number
  /** `relaxed` is accepted, and durable only when a barrier or a later record is. */
  state: 'sent' | 'relaxed' | 'answered' | 'refused' | 'lost'
  /** Whether some of it was found, so that all of it must stay. */
  isKnown: boolean
}

type Delete = { readonly stream: string; answeredAt: number; isRefused: boolean }

/** What is there of each stream. */
export type Contents = ReadonlyMap<string, readonly string[]>

export class OutsideLedger {
  readonly #sent: Sent[] = []
  #deletes: Delete[] = []
  /** What a reader saw last. */
  readonly #seen = new Map<string, readonly string[]>()
  #time = 0
  #life = 0
  answered = 0
  barriers = 0
  /** What an answer brought that was none. */
  defect: Error | undefined

  /** @param expected stream → the offset that its first record must get */
  send(
    kind: 'append' | 'transaction',
    parts: ReadonlyMap<string, number>,
    expected: ReadonlyMap<string, number>,
  ): Sent {
    this.#time += 1
    const name = `${kind} ${this.#time}`
    const bodies = [...parts].map(([stream, length]): [string, readonly string[]] => {
      const padding = 'x'.repeat(length)
      return [stream, [0, 1].map(record => `${name}, ${stream}, ${record} ${padding}`)]
    })
    const sent: Sent = {
      name,
      parts: new Map(bodies),
      expected: new Map(expected),
      at: this.#time,
      life: this.#life,
      outlivedThreads: false,
      acceptedAt: Number.POSITIVE_INFINITY,
      state: 'sent',
      isKnown: false,
    }
    this.#sent.push(sent)
    return sent
  }

  /** Notes that a stream is being deleted. */
  delete(stream: string): Delete {
    const sent = { stream, answeredAt: Number.POSITIVE_INFINITY, isRefused: false }
    this.#deletes.push(sent)
    return sent
  }

  answer(sent: Sent, isDurable: boolean): void {
    this.answered += 1
    sent.acceptedAt = this.#time
    if (isDurable) sent.state = 'answered'
    // The answer may come when the thread that gave it is gone.
    else if (sent.life === this.#life) sent.state = 'relaxed'
  }

  /** Notes that a barrier was sent. Returns a function to call when it is answered. */
  barrier(): () => void {
    const before = this.#sent.filter(({ state }) => state === 'relaxed')
    return () => {
      this.barriers += 1
      for (const sent of before) if (sent.state === 'relaxed') sent.state = 'answered'
    }
  }

  /** Threads died and were started again; the process went on, and with it what it had to send. */
  restart(): void {
    for (const sent of this.#sent) if (sent.state === 'sent') sent.outlivedThreads = true
    this.#endLife()
  }

  /** What was accepted and is not durable may be gone. */
  #endLife(): void {
    this.#life += 1
    for (const sent of this.#sent) if (sent.state === 'relaxed') sent.state = 'sent'
  }

  answerDelete(sent: Delete, isRefused: boolean): void {
    this.#time += 1
    sent.answeredAt = this.#time
    sent.isRefused = isRefused
  }

  seenLength(stream: string): number {
    return this.#seen.get(stream)?.length ?? 0
  }

  /** Holds what a reader sees of one stream against what it may. */
  read(stream: string, bodies: readonly string[]): void {
    const seen = this.#seen.get(stream) ?? []
    const isLonger = seen.every((body, at) => bodies[at] === body)
    assert.ok(isLonger || this.#mayBeGone(stream, 0), `${stream}: what was read is gone`)
    this.#seen.set(stream, bodies)
    for (const sent of this.#sent) {
      const part = sent.parts.get(stream)
      if (part !== undefined) this.#checkPart(sent, stream, part, bodies)
    }
    this.#checkOrder(stream, bodies)
    const known = new Set(this.#sent.flatMap(({ parts }) => parts.get(stream) ?? []))
    const stranger = bodies.find(body => !known.has(body))
    assert.is(stranger, undefined, `${stream} holds what was not sent, or was lost before`)
  }

  /** Holds what a start has found against what it may: nothing is under way any more. */
  check(contents: Contents): void {
    this.#endLife()
    for (const [stream, bodies] of contents) this.read(stream, bodies)
    for (const sent of this.#sent) this.#checkWhole(sent, contents)
    this.#deletes = []
  }

  #checkPart(sent: Sent, stream: string, part: readonly string[], bodies: readonly string[]): void {
    const at = bodies.indexOf(part[0] as string)
    if (at === -1) {
      const isMissed = sent.state === 'answered' && !this.#mayBeGone(stream, sent.at)
      return assert.not(isMissed, `${sent.name}, answered, is not in ${stream}`)
    }
    const isAbsent = sent.state === 'refused' || sent.state === 'lost'
    assert.not(isAbsent, `${sent.name} is in ${stream}, though it was ${sent.state}`)
    assert.equal(bodies.slice(at, at + part.length), part, `${sent.name} is whole in ${stream}`)
    assert.is(bodies.lastIndexOf(part[0] as string), at, `${sent.name} is in ${stream} once`)
    const expected = sent.expected.get(stream)
    if (expected !== undefined) assert.is(at, expected, `${sent.name} is where it asked to be`)
  }

  /** What was accepted comes before whatever was sent later, and is durable when that is. */
  #checkOrder(stream: string, bodies: readonly string[]): void {
    const there = new Set(bodies)
    const parts = this.#sent.filter(({ parts }) => parts.has(stream))
    const isThere = ({ parts }: Sent) => there.has(parts.get(stream)?.[0] as string)
    const last = new Map<number, Sent>()
    for (const sent of parts) {
      if (isThere(sent) && !sent.outlivedThreads) last.set(sent.life, sent)
    }
    for (const sent of parts) {
      const later = last.get(sent.life)
      if (later === undefined || later.at <= sent.acceptedAt || isThere(sent)) continue
      const isGone = this.#mayBeGone(stream, sent.at)
      assert.ok(isGone, `${sent.name}, accepted, is not in ${stream}, and ${later.name} is`)
    }
  }

  #checkWhole(sent: Sent, contents: Contents): void {
    const missing: string[] = []
    let found = 0
    for (const [stream, part] of sent.parts) {
      if (contents.get(stream)?.includes(part[0] as string) === true) found += 1
      else missing.push(stream)
    }
    const gone = missing.filter(stream => this.#mayBeGone(stream, sent.at))
    const mustBeThere = found > 0 || sent.isKnown || sent.state === 'answered'
    if (mustBeThere) {
      assert.is(
        gone.length,
        missing.length,
        `${sent.name} is there in parts: not in ${missing.join()}`,
      )
    }
    // What is deleted now does not come back, and what is there does not go.
    for (const stream of missing) sent.parts.delete(stream)
    sent.isKnown = sent.parts.size > 0
    if (sent.parts.size === 0 && sent.state === 'sent') sent.state = 'lost'
  }

  /** Whether a delete may have taken what was sent at some time. */
  #mayBeGone(stream: string, sentAt: number): boolean {
    return this.#deletes.some(
      one => one.stream === stream && !one.isRefused && one.answeredAt > sentAt,
    )
  }
}
