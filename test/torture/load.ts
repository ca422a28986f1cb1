import { checkPage, pageOf } from './audit.ts'
import { type Answer, type Client, describe, type Json, NoAnswer, streamPath } from './client.ts'
import type { Ledger, Sent, StreamLedger } from './ledger.ts'
import type { Random } from '../support/random.ts'
import { sleep, type Trial } from './trial.ts'

/** What a load does with an answer that refuses: nothing of it is excused unless the fault is. */
export type OnRefusal = (what: string, answer: Answer) => void

/** Options of a load; with a pause and trims it can run for hours. */
export type LoadOptions = {
  readonly onRefusal?: OnRefusal
  /** How long each client waits after each of its requests. */
  readonly pauseMs?: number
  /** Records that are kept of each stream; all when it is absent. */
  readonly keep?: number
}

type Producer = {
  readonly id: string
  readonly stream: string
  epoch: number
  seq: number
  /** The append whose answer is open; it is sent again until it is answered. */
  open: { sent: Sent; readonly records: readonly Json[] } | undefined
}

const SHARED = Array.from({ length: 6 }, (_, count) => `shared ${count}`)
const TRIMMED = 'trimmed'
const RELAXED = 'relaxed'
const LARGE = 'large'
const RECREATED = ['recreated 0', 'recreated 1']
const KIB = 1024

/**
 * Clients that do everything the service offers, side by side, until the connection breaks:
 * singles, batches, large records, transactions, producers, relaxed appends with barriers, trims,
 * streams deleted and made again, reads. Lives on over restarts, as clients do.
 */
export class Load {
  /** Records in appends that were accepted. */
  accepted = 0
  readonly #trial: Trial
  readonly #ledger: Ledger
  readonly #random: Random
  readonly #onRefusal: OnRefusal
  readonly #pauseMs: number
  readonly #keep: number
  readonly #producers: Producer[]

  constructor(trial: Trial, ledger: Ledger, options: LoadOptions = {}) {
    const { onRefusal, pauseMs = 0, keep = Number.POSITIVE_INFINITY } = options
    this.#trial = trial
    this.#ledger = ledger
    this.#random = trial.random
    this.#onRefusal =
      onRefusal ?? ((what, answer) => trial.find('refused', `${what}: ${describe(answer)}`))
    this.#pauseMs = pauseMs
    this.#keep = keep
    this.#producers = [0, 1].map(count => ({
      id: `producer ${count}`,
      stream: SHARED[count] as string,
      epoch: 0,
      seq: 0,
      open: undefined,
    }))
  }

  /** Runs every client until `isOver`, or until it has no answer. */
  async run(client: Client, isOver: () => boolean): Promise<void> {
    const steps: ((client: Client) => Promise<void>)[] = [
      ...[1, 2, 3].map(() => (to: Client) => this.#append(to, SHARED, 1)),
      ...[1, 2].map(() => (to: Client) => this.#append(to, SHARED, 2 + this.#random.below(40))),
      to => this.#append(to, [TRIMMED], 5),
      to => this.#appendLarge(to),
      ...[1, 2].map(() => (to: Client) => this.#transact(to)),
      ...this.#producers.map(producer => (to: Client) => this.#produce(to, producer)),
      to => this.#relax(to),
      to => this.#trim(to),
      ...RECREATED.map(stream => (to: Client) => this.#recreate(to, stream)),
      ...[1, 2].map(() => (to: Client) => this.#read(to)),
      ...(Number.isFinite(this.#keep) ? [(to: Client) => this.#trimAll(to)] : []),
    ]
    await Promise.all(steps.map(step => this.#repeat(() => step(client), isOver)))
  }

  async #repeat(step: () => Promise<void>, isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      try {
        await step()
        if (this.#pauseMs > 0) await sleep(this.#pauseMs)
      } catch (error) {
        if (!(error instanceof NoAnswer)) throw error
        if (error.hung) this.#trial.find('slow', error.message)
        return
      }
    }
  }

  async #append(client: Client, streams: readonly string[], count: number): Promise<void> {
    const stream = this.#random.pick(streams)
    await this.#send(client, stream, this.#records(count))
  }

  /** Records that go through a slot, and some that go straight to their segment. */
  async #appendLarge(client: Client): Promise<void> {
    const text = this.#ledger.text((16 + this.#random.below(400)) * KIB)
    await this.#send(client, LARGE, [{ text }])
    await sleep(30)
  }

  async #send(client: Client, stream: string, records: readonly Json[], query = '') {
    const sent = this.#ledger.send([{ stream, records }])
    const answer = await client.append(stream, { records, query })
    if (this.#ledger.answered(sent, answer)) this.accepted += records.length
    else await this.#refused(`append to ${stream}`, answer)
    return { sent, answer }
  }

  async #transact(client: Client): Promise<void> {
    const at = this.#random.below(SHARED.length)
    const streams = [0, 1, 2].map(step => SHARED[(at + step) % SHARED.length] as string)
    const appends = streams.map(stream => ({ stream, records: this.#records(2) }))
    const sent = this.#ledger.send(appends)
    const answer = await client.post('/v1/transactions', { appends })
    if (answer.status !== 200) {
      if (answer.json['outcome'] === 'not_applied') this.#ledger.refuse(sent)
      return this.#refused('transaction', answer)
    }
    const parts = answer.json['appends'] as readonly { readonly firstOffset: number }[]
    this.accepted += 2 * parts.length
    this.#ledger.applied(
      sent,
      parts.map(({ firstOffset }) => firstOffset),
    )
  }

  /** Sends the open append of a producer again, or its next one. */
  async #produce(client: Client, producer: Producer): Promise<void> {
    const { stream } = producer
    const known = producer.open?.sent.state
    const records = producer.open?.records ?? this.#records(3)
    // Once settled as absent, it may come again only because it is sent again.
    const sent =
      known === 'open' || known === 'applied'
        ? (producer.open?.sent as Sent)
        : this.#ledger.send([{ stream, records }])
    producer.open = { sent, records }
    const headers = {
      'producer-id': producer.id,
      'producer-epoch': `${producer.epoch}`,
      'producer-seq': `${producer.seq}`,
    }
    const answer = await client.append(stream, { records, headers })
    if (!this.#ledger.answered(sent, answer)) {
      return this.#refused(`append of ${producer.id}`, answer)
    }
    if (known === 'applied' && answer.json['duplicate'] !== true) {
      this.#trial.find('wrong', `${producer.id} seq ${producer.seq} was applied twice`)
    }
    producer.open = undefined
    producer.seq += 1
    if (producer.seq === 50) {
      producer.epoch += 1
      producer.seq = 0
    }
  }

  /** Relaxed appends, which a barrier makes durable together. */
  async #relax(client: Client): Promise<void> {
    const waiting: { sent: Sent; firstOffset: number }[] = []
    for (let count = 0; count < 10; count += 1) {
      const records = this.#records(2)
      const { sent, answer } = await this.#send(client, RELAXED, records, '?durability=relaxed')
      const { firstOffset } = answer.json
      if (answer.status === 200) waiting.push({ sent, firstOffset: Number(firstOffset) })
    }
    const barrier = await client.post('/v1/barrier', undefined)
    if (barrier.status !== 200) return this.#refused('barrier', barrier)
    for (const { sent, firstOffset } of waiting) this.#ledger.applied(sent, [firstOffset])
  }

  async #trim(client: Client): Promise<void> {
    await sleep(60)
    const stream = this.#ledger.of(TRIMMED)
    if (stream.nextOffset < 10) return
    const before = stream.trimmed + this.#random.below(stream.nextOffset - stream.trimmed)
    await this.#trimBelow(client, stream, before)
  }

  /** Trims every stream to what is kept of it. */
  async #trimAll(client: Client): Promise<void> {
    await sleep(500)
    for (const name of [...SHARED, LARGE, RELAXED]) {
      const stream = this.#ledger.of(name)
      const before = stream.nextOffset - this.#keep
      if (before > stream.trimmed) await this.#trimBelow(client, stream, before)
    }
    this.#ledger.forgetSettled()
  }

  async #trimBelow(client: Client, stream: StreamLedger, before: number): Promise<void> {
    stream.trimAsked = Math.max(stream.trimAsked, before)
    const answer = await client.post(`${streamPath(stream.name)}/trim`, { before })
    if (answer.status !== 200) return this.#refused('trim', answer)
    stream.trimmed = Math.max(stream.trimmed, before)
  }

  /** A whole life of a stream: created, written, deleted. Nobody else writes to it. */
  async #recreate(client: Client, name: string): Promise<void> {
    const stream = this.#ledger.of(name)
    const created = await client.send('PUT', streamPath(name), '{}', JSON_TYPE)
    if (created.status !== 200 && created.status !== 201) {
      return this.#refused(`PUT ${name}`, created)
    }
    const streamId = String(created.json['streamId'])
    if (stream.streamId !== undefined && stream.streamId !== streamId) {
      // A delete that nobody answered, because a thread died, has been carried out.
      if (stream.deletion === 'asked') stream.rebirth()
      else this.#trial.find('lost', `${name} is another stream, and nobody deleted it`)
    }
    stream.exists = true
    stream.streamId = streamId
    for (let count = 0; count < 4; count += 1) {
      await this.#send(client, name, this.#records(1 + this.#random.below(20)))
      await sleep(this.#random.below(80))
    }
    stream.deletion = 'asked'
    const deleted = await client.send('DELETE', streamPath(name))
    if (deleted.status === 204) stream.rebirth()
    else await this.#refused(`DELETE ${name}`, deleted)
  }

  /** A page from anywhere: what is read stays, and the end is past what was answered. */
  async #read(client: Client): Promise<void> {
    const stream = this.#ledger.of(this.#random.pick([...SHARED, LARGE, RELAXED]))
    if (!stream.exists) return sleep(5)
    const { nextOffset, trimAsked } = stream
    const from = trimAsked + this.#random.below(nextOffset - trimAsked + 1)
    const limit = 1 + this.#random.below(200)
    const answer = await client.get(
      `${streamPath(stream.name)}/records?from=${from}&limit=${limit}`,
    )
    if (answer.json['code'] === 'trimmed' && from < stream.trimAsked) return
    if (answer.status !== 200) return this.#refused(`read of ${stream.name}@${from}`, answer)
    const page = pageOf(answer)
    checkPage(this.#trial, stream, page.records, from)
    if (page.tailOffset < nextOffset) {
      const where = `${stream.name} was said to end at ${page.tailOffset}`
      this.#trial.find('lost', `${where} when ${nextOffset} was known`)
    }
    await sleep(5)
  }

  #records(count: number): Json[] {
    return Array.from({ length: count }, () => {
      const text = this.#ledger.text(20 + this.#random.below(300))
      const form = this.#random.below(4)
      if (form === 0) return { data: { text, at: this.#random.below(1e6) } }
      if (form === 1) return { base64: Buffer.from(text).toString('base64') }
      return form === 2 ? { text, headers: { kind: 'torture' } } : { text }
    })
  }

  async #refused(what: string, answer: Answer): Promise<void> {
    // Backpressure is no refusal: the client waits and comes again.
    if (answer.json['code'] !== 'overloaded') this.#onRefusal(what, answer)
    await sleep(50)
  }
}

const JSON_TYPE = { 'content-type': 'application/json' }
