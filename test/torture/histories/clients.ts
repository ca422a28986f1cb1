import { type Answer, type Client, describe, type Json, NoAnswer, streamPath } from '../client.ts'
import { sleep, type Trial } from '../trial.ts'
import type { OpenAppend, Recorder } from './recorder.ts'

/** Streams that are never deleted, and streams that are, again and again. */
export const STABLE = ['stable 0', 'stable 1', 'stable 2']
export const RECREATED = ['recreated 0', 'recreated 1']
const ALL = [...STABLE, ...RECREATED]
const CURSORS_MAX = 40
const JSON_TYPE = { 'content-type': 'application/json' }

type Cursor = {
  readonly stream: string
  readonly streamId: string
  readonly nextOffset: number
  readonly lastHash: string
}

type Producer = {
  readonly id: string
  readonly stream: string
  seq: number
  open: { readonly append: OpenAppend; readonly records: readonly Json[] } | undefined
}

/** Clients that work on a few streams at the same time; they outlive the servers. */
export class Clients {
  readonly #trial: Trial
  readonly #recorder: Recorder
  readonly #producers: Producer[]
  readonly #cursors: Cursor[] = []

  constructor(trial: Trial, recorder: Recorder) {
    this.#trial = trial
    this.#recorder = recorder
    this.#producers = [0, 1].map(count => ({
      id: `producer ${count}`,
      stream: STABLE[count] as string,
      seq: 0,
      open: undefined,
    }))
  }

  /** Runs every client until `isOver`, or until it has no answer. */
  async run(client: Client, isOver: () => boolean): Promise<void> {
    const { random } = this.#trial
    const steps: (() => Promise<void>)[] = [
      ...[1, 2].map(() => () => this.#append(client, random.pick(ALL), 1)),
      () => this.#append(client, random.pick(ALL), 2 + random.below(20)),
      ...[1, 2].map(() => () => this.#appendExpected(client)),
      ...this.#producers.map(producer => () => this.#produce(client, producer)),
      ...[1, 2].map(() => () => this.#read(client)),
      () => this.#resume(client),
      ...RECREATED.map(stream => () => this.#recreate(client, stream)),
    ]
    await Promise.all(steps.map(step => this.#repeat(step, isOver)))
  }

  /** What no producer has an answer to by now it never will. */
  abandon(): void {
    for (const { open } of this.#producers) {
      if (open !== undefined) this.#recorder.unknown(open.append)
    }
  }

  async #repeat(step: () => Promise<void>, isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      try {
        await step()
      } catch (error) {
        if (!(error instanceof NoAnswer)) throw error
        if (error.hung) this.#trial.find('slow', error.message)
        return
      }
    }
  }

  async #append(client: Client, stream: string, count: number, expectedOffset?: number) {
    const records = Array.from({ length: count }, () => this.#recorder.record())
    const append = this.#recorder.begin(stream, records, expectedOffset)
    const known = this.#recorder.acknowledged.get(stream) ?? 0
    const query = expectedOffset === undefined ? '' : `?expectedOffset=${expectedOffset}`
    let answer: Answer
    try {
      answer = await client.append(stream, { records, query })
    } catch (error) {
      this.#recorder.unknown(append)
      throw error
    }
    if (this.#settle(append, answer)) return
    const { code, nextOffset } = answer.json
    if (code === 'offset_mismatch') {
      // It is the end in memory, so it may be past what readers see, never below it.
      const end = Number(nextOffset)
      if (end === expectedOffset) this.#trial.find('wrong', `${stream}: ${end} was expected, 412`)
      if (end < known) this.#trial.find('lost', `${stream} ends at ${end}, ${known} was known`)
    } else await this.#refused(`append to ${stream}`, stream, answer)
  }

  /** Two clients that read the end and append there: at most one of them gets each offset. */
  async #appendExpected(client: Client): Promise<void> {
    const stream = this.#trial.random.pick(STABLE)
    const { json } = await client.get(streamPath(stream))
    if (typeof json['nextOffset'] !== 'number') return sleep(5)
    await this.#append(client, stream, 1 + this.#trial.random.below(3), json['nextOffset'])
  }

  /** Sends the open append of a producer again, or its next one. */
  async #produce(client: Client, producer: Producer): Promise<void> {
    const { id, stream } = producer
    if (producer.open === undefined) {
      const records = [this.#recorder.record(), this.#recorder.record()]
      producer.open = { records, append: this.#recorder.begin(stream, records) }
    }
    const { records, append } = producer.open
    const headers = { 'producer-id': id, 'producer-epoch': '0', 'producer-seq': `${producer.seq}` }
    const answer = await client.append(stream, { records, headers })
    if (answer.status !== 200) return this.#refused(`append of ${id}`, stream, answer)
    this.#settle(append, answer)
    producer.open = undefined
    producer.seq += 1
  }

  /** A page from anywhere, without or with a wait for more. */
  async #read(client: Client): Promise<void> {
    const { random } = this.#trial
    const stream = random.pick(ALL)
    const end = this.#recorder.acknowledged.get(stream) ?? 0
    const from = random.chance(0.3) ? 'end' : `${random.below(end + 1)}`
    const startMs = performance.now()
    const query = `from=${from}&limit=${1 + random.below(100)}&wait=${random.below(2) * 20}`
    const answer = await client.get(`${streamPath(stream)}/records?${query}`)
    if (answer.status === 200) this.#take(stream, startMs, answer)
    else await this.#notRead(stream, startMs, answer)
    await sleep(2)
  }

  /** Goes on where some read ended, maybe of a stream that is another one now. */
  async #resume(client: Client): Promise<void> {
    const cursor = this.#cursors[this.#trial.random.below(this.#cursors.length)]
    if (cursor === undefined) return sleep(5)
    const { stream, streamId, nextOffset, lastHash } = cursor
    const startMs = performance.now()
    const query = `from=${nextOffset}&after=${lastHash}&limit=50`
    const answer = await client.get(`${streamPath(stream)}/records?${query}`)
    if (answer.status === 200) {
      if (nextOffset > 0 && answer.json['streamId'] !== streamId) {
        const what = `${stream} goes on at ${nextOffset} of ${streamId} with another stream`
        this.#trial.find('wrong', what)
      }
      this.#take(stream, startMs, answer)
    } else {
      if (STABLE.includes(stream) && [404, 409, 416].includes(answer.status)) {
        this.#trial.find('lost', `${stream} after ${nextOffset}: ${describe(answer)}`)
      }
      if (answer.status === 409) this.#cursors.splice(this.#cursors.indexOf(cursor), 1)
      await this.#notRead(stream, startMs, answer)
    }
    await sleep(2)
  }

  async #recreate(client: Client, stream: string): Promise<void> {
    const { random } = this.#trial
    await sleep(random.below(150))
    const startMs = performance.now()
    try {
      const { status } = await client.send('DELETE', streamPath(stream))
      if (status === 204) this.#recorder.deleted(stream, startMs)
      else if (status === 404) this.#recorder.absent(stream, startMs)
      else this.#recorder.deletionUnknown(stream, startMs)
    } catch (error) {
      this.#recorder.deletionUnknown(stream, startMs)
      throw error
    }
    // Appends make it again as well.
    if (random.chance(0.5)) await client.send('PUT', streamPath(stream), '{}', JSON_TYPE)
  }

  #take(stream: string, startMs: number, answer: Answer): void {
    this.#recorder.page(stream, startMs, answer)
    const { streamId, nextOffset, lastHash } = answer.json
    const at = this.#trial.random.below(CURSORS_MAX)
    this.#cursors[Math.min(at, this.#cursors.length)] = {
      stream,
      streamId: String(streamId),
      nextOffset: Number(nextOffset),
      lastHash: String(lastHash),
    }
  }

  async #notRead(stream: string, startMs: number, answer: Answer): Promise<void> {
    if (answer.status === 404) this.#recorder.absent(stream, startMs)
    await this.#refused(`read of ${stream}`, stream, answer)
  }

  /** Whether it was applied; an answer that does not say what became of it is a finding. */
  #settle(append: OpenAppend, answer: Answer): boolean {
    const { outcome, durable } = answer.json
    if (answer.status === 200) {
      if (durable === true) this.#recorder.applied(append, answer)
      else this.#trial.find('wrong', `${append.stream}: an append is not durable`)
      return true
    }
    if (outcome === 'not_applied') this.#recorder.refused(append)
    else this.#recorder.unknown(append)
    return false
  }

  /** A stream that is deleted under its clients excuses that they do not find it. */
  async #refused(what: string, stream: string, answer: Answer): Promise<void> {
    const isExcused = RECREATED.includes(stream) && [404, 409, 410, 416].includes(answer.status)
    const isBusy = answer.json['code'] === 'overloaded'
    if (!isExcused && !isBusy) this.#trial.find('refused', `${what}: ${describe(answer)}`)
    await sleep(5)
  }
}
