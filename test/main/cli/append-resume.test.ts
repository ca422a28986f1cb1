import { Readable } from 'node:stream'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { feedRecords } from '../../../src/main/cli/append-feed.ts'
import { AppendLedger, LedgerState, newLedgerState } from '../../../src/main/cli/append-ledger.ts'
import { BatchSender } from '../../../src/main/cli/batch-sender.ts'
import { Client } from '../../../src/main/cli/client.ts'
import { ProducerStream } from '../../support/producer-server.ts'
import { Random } from '../../support/random.ts'
import {
  problem,
  type ScriptedAnswer,
  type ScriptedRequest,
  withScript,
} from '../../support/scripted-server.ts'

const resume = suite('main/cli/append-resume')

/** What may happen to a request. */
const ACCIDENTS = [
  'killed before it was applied',
  'killed after it was applied',
  'lost before it was applied',
  'lost after it was applied',
  'busy',
  'crashed',
  'crashed after it was applied',
] as const

const FOREVER = new Promise<void>(() => {})

/** An append of lines that is interrupted at random and gone on with. */
class Import {
  readonly #random: Random
  readonly #lines: readonly string[]
  readonly #stream: ProducerStream
  /** Share of the requests that have one. */
  readonly #accidents: number
  #state: LedgerState = newLedgerState({ id: 'p', epoch: 0 })
  #isComplete = false
  #isKilled = false
  #kill: () => void = () => undefined
  runs = 0

  constructor(seed: number) {
    this.#random = new Random(seed)
    const count = this.#random.below(200)
    this.#lines = Array.from({ length: count }, (_, n) => `${n} ${'x'.repeat(n % 13)}`)
    this.#stream = new ProducerStream(this.#random.chance(0.5))
    this.#accidents = 0.05 + this.#random.next() / 5
  }

  async run(): Promise<void> {
    await withScript(
      request => this.#answer(request),
      async url => {
        while (!this.#isComplete) await this.#runOnce(url)
      },
    )
    assert.equal(this.#stream.bodies, this.#lines)
  }

  /** One process, until it ends or is killed. */
  async #runOnce(url: string): Promise<void> {
    this.runs += 1
    assert.ok(this.runs < 1000, 'it never ends')
    this.#isKilled = false
    const killed = new Promise<void>(resolve => {
      this.#kill = () => {
        this.#isKilled = true
        resolve()
      }
    })
    const client = new Client(url)
    await Promise.race([killed, this.#append(client).catch(() => undefined)])
    client.close()
  }

  async #append(client: Client): Promise<void> {
    const run = this.runs
    const ledger = new AppendLedger(this.#load(), async (state, isComplete) => {
      await new Promise(setImmediate)
      if (this.#random.chance(0.05)) this.#kill()
      // A process that is dead does nothing any more.
      if (this.#isKilled || run !== this.runs) return FOREVER
      this.#state = state
      this.#isComplete = isComplete
      return undefined
    })
    const sender = this.#senderOf(client, ledger)
    const start = ledger.state.durable.position
    await feedRecords(this.#inputFrom(start), start, sender, { lines: true })
    await sender.finish()
    if (!sender.appended.durable) await client.request({ method: 'POST', path: 'v1/barrier' })
    await ledger.finish()
  }

  #senderOf(client: Client, ledger: AppendLedger): BatchSender {
    return new BatchSender({
      client,
      stream: 's',
      durability: undefined,
      expectedOffset: undefined,
      recordsMax: 1 + this.#random.below(8),
      bytesMax: 20 + this.#random.below(200),
      ledger,
      onProgress: () => undefined,
      onFailure: () => undefined,
      sleep: () => Promise.resolve(),
    })
  }

  #load(): LedgerState {
    return LedgerState.parse(JSON.parse(JSON.stringify(this.#state)))
  }

  #inputFrom(start: number): Readable {
    const bytes = Buffer.from(this.#lines.map(line => `${line}\n`).join('')).subarray(start)
    const chunks: Buffer[] = []
    for (let at = 0; at < bytes.length; ) {
      const end = at + 1 + this.#random.below(60)
      chunks.push(bytes.subarray(at, end))
      at = end
    }
    return Readable.from(chunks)
  }

  async #answer(request: ScriptedRequest): Promise<ScriptedAnswer> {
    if (!this.#random.chance(this.#accidents)) return this.#stream.answer(request)
    const accident = this.#random.pick(ACCIDENTS)
    const answer = accident.includes('before') || accident === 'busy' ? undefined : 'applied'
    if (answer === 'applied') this.#stream.answer(request)
    if (accident.startsWith('killed')) this.#kill()
    if (accident.startsWith('crashed')) this.#stream.crash()
    if (accident === 'busy') return problem(503, 'overloaded', { outcome: 'not_applied' })
    await new Promise(setImmediate)
    return 'reset'
  }
}

resume('whatever is interrupted, the stream holds the file exactly once', async () => {
  const first = Number(process.env['SEED'] ?? 1)
  let runs = 0
  for (let seed = first; seed < first + 60; seed += 1) {
    const append = new Import(seed)
    try {
      await append.run()
    } catch (error) {
      throw new Error(`SEED=${seed}: ${(error as Error).message}`, { cause: error })
    }
    runs += append.runs
  }
  assert.ok(runs > 200, `${runs} runs`)
})

resume.run()
