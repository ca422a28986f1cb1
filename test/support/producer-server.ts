import { bodiesOf, countBatchItems } from '../../src/main/cli/record-output.ts'
import { problem, type ScriptedAnswer, type ScriptedRequest } from './scripted-server.ts'

type Accepted = { readonly firstOffset: number; readonly count: number }
type Known = { readonly epoch: number; readonly accepted: Accepted[] }

/** One stream of a server that keeps to the rules of producers, in memory. */
export class ProducerStream {
  #bodies: string[] = []
  #producers = new Map<string, Known>()
  /** What a crash leaves. */
  #durable: { bodies: number; producers: Map<string, Known> } = { bodies: 0, producers: new Map() }
  /** Whether an answer waits for stable storage where the request does not ask for it. */
  readonly #isPatient: boolean
  batches = 0
  duplicates = 0

  constructor(isPatient = true) {
    this.#isPatient = isPatient
  }

  get bodies(): readonly string[] {
    return this.#bodies
  }

  answer(request: ScriptedRequest): ScriptedAnswer {
    if (request.target === '/v1/barrier') return this.#barrier()
    const id = String(request.headers['producer-id'])
    const epoch = Number(request.headers['producer-epoch'])
    const seq = Number(request.headers['producer-seq'])
    const refused = this.#check(id, epoch, seq)
    if (refused !== undefined) return refused
    const known = this.#producerOf(id, epoch)
    const before = known.accepted[seq]
    if (before === undefined) known.accepted.push(this.#apply(request.body))
    else this.duplicates += 1
    const durable = this.#isPatient || request.target.includes('durability=group')
    if (durable) this.#sync()
    const { firstOffset, count } = known.accepted[seq] as Accepted
    const nextOffset = firstOffset + count
    const duplicate = before !== undefined
    return { body: { firstOffset, nextOffset, count, durable, duplicate } }
  }

  /** What was not durable is lost. */
  crash(): void {
    this.#bodies = this.#bodies.slice(0, this.#durable.bodies)
    this.#producers = copyOf(this.#durable.producers)
  }

  #check(id: string, epoch: number, seq: number): ScriptedAnswer | undefined {
    const known = this.#producers.get(id)
    if (known === undefined || epoch > known.epoch) {
      return seq === 0 ? undefined : problem(400, 'invalid_request', { outcome: 'not_applied' })
    }
    if (epoch < known.epoch) return problem(403, 'producer_fenced', { outcome: 'not_applied' })
    const expectedSeq = known.accepted.length
    const fields = { expectedSeq, outcome: 'not_applied' }
    return seq > expectedSeq ? problem(409, 'producer_gap', fields) : undefined
  }

  #producerOf(id: string, epoch: number): Known {
    const known = this.#producers.get(id)
    if (known?.epoch === epoch) return known
    const fresh: Known = { epoch, accepted: [] }
    this.#producers.set(id, fresh)
    return fresh
  }

  #apply(body: Buffer): Accepted {
    const count = countBatchItems(body)
    const firstOffset = this.#bodies.length
    const lines = bodiesOf(body, { count, lineFeeds: true }).toString()
    this.#bodies.push(...lines.split('\n').slice(0, -1))
    this.batches += 1
    return { firstOffset, count }
  }

  #barrier(): ScriptedAnswer {
    this.#sync()
    return { body: { durable: true } }
  }

  #sync(): void {
    this.#durable = { bodies: this.#bodies.length, producers: copyOf(this.#producers) }
  }
}

function copyOf(producers: ReadonlyMap<string, Known>): Map<string, Known> {
  return new Map(
    [...producers].map(([id, { epoch, accepted }]) => [id, { epoch, accepted: [...accepted] }]),
  )
}
