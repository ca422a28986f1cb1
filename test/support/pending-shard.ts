import type { Mutation, MutationResult, ShardOptions } from '../../src/shared/protocol/shard.ts'
import { Random } from './random.ts'
import { SimulatedDisk } from './simulated-disk.ts'
import { Clock, encodeTexts, SIMULATED_OPTIONS, SimulatedShard } from './simulated-shard.ts'

const HEADROOM_BYTES = 96

/** One simulated shard, and the steps of transactions as the driver would send them. */
export class PendingShard {
  readonly #random = new Random(1)
  readonly #disk = new SimulatedDisk(this.#random)
  readonly #options: ShardOptions
  readonly clock = new Clock()
  shard: SimulatedShard

  constructor(options: Partial<ShardOptions> = {}) {
    this.#options = { ...SIMULATED_OPTIONS, ...options }
    this.shard = this.#open()
  }

  /** The process dies, and the shard is opened again. */
  reopen(): void {
    this.#disk.kill()
    this.shard = this.#open()
  }

  /** Stages `text` for each stream; the results come into the array as they are settled. */
  prepare(
    transaction: number,
    streams: readonly string[],
    text = `of ${transaction}`,
  ): MutationResult[] {
    const batch = encodeTexts([text])
    const bytes = Buffer.concat([Buffer.alloc(HEADROOM_BYTES), ...streams.map(() => batch)])
    const appends = streams.map((stream, place) => ({
      stream,
      at: HEADROOM_BYTES + place * batch.length,
      length: batch.length,
      count: 1,
      expectedOffset: undefined,
    }))
    return this.mutate({ kind: 'prepare', transaction, coordinator: 0, appends }, bytes)
  }

  decide(transaction: number): MutationResult[] {
    return this.mutate({ kind: 'decide', transaction, witnesses: [] })
  }

  resolve(transaction: number, outcome: 'commit' | 'abort' | 'unknown'): MutationResult[] {
    return this.mutate({ kind: 'resolve', transaction, outcome, witnesses: [] })
  }

  append(stream: string, text: string, expectedOffset?: number): MutationResult[] {
    const results: MutationResult[] = []
    const options = expectedOffset === undefined ? {} : { expectedOffset }
    this.shard.append(stream, [text], result => results.push(result), options)
    return results
  }

  mutate(mutation: Mutation, bytes: Buffer = Buffer.alloc(0)): MutationResult[] {
    const results: MutationResult[] = []
    this.shard.mutate(mutation, bytes, result => results.push(result))
    return results
  }

  #open(): SimulatedShard {
    return new SimulatedShard(this.#disk, this.#random, this.clock, this.#options)
  }
}

/** Of refusals their code, of others `ok`. */
export function codesOf(results: readonly MutationResult[]): string[] {
  return results.map(result => ('error' in result ? result.error.code : 'ok'))
}
