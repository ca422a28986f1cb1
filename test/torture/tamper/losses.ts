import { crc32 } from 'node:zlib'
import { type Client, describe, streamPath } from '../client.ts'
import type { NamedRange } from '../damaged-audit.ts'
import type { StreamLedger } from '../ledger.ts'
import type { Trial } from '../trial.ts'
import { SHARDS } from './store.ts'

/** As `varve repair --json` prints it; null where it is not known. */
type Loss = {
  readonly shard: number
  readonly stream: string | null
  readonly firstOffset: number | null
  readonly nextOffset: number | null
}

type Report = {
  readonly losses: readonly Loss[]
  readonly undecided: readonly { readonly id: string }[]
}

/** What a repair said that it gave up. */
export class Losses {
  readonly #losses: readonly Loss[]

  private constructor(losses: readonly Loss[]) {
    this.#losses = losses
  }

  static parse(printed: string): Losses {
    return new Losses((JSON.parse(printed) as Report).losses)
  }

  /** Transactions that a repair wants to be told about. */
  static undecidedIn(printed: string): string[] {
    if (!printed.startsWith('{')) return []
    return (JSON.parse(printed) as Report).undecided.map(({ id }) => id)
  }

  /**
   * Forgets the records of a stream that the repair gave up, so that their offsets may be used
   * again. Reports every other missing record as lost, and every one that was read before.
   * @param before offsets that were read before the repair, if anything was
   */
  async take(
    trial: Trial,
    client: Client,
    stream: StreamLedger,
    before: ReadonlySet<number> | undefined,
  ): Promise<void> {
    const { name, records } = stream
    const info = await client.get(streamPath(name))
    const end = info.status === 200 ? Number(info.json['nextOffset']) : 0
    if (info.status !== 200 && !this.#isStated(name, 0)) {
      trial.find('lost', `${name} after a repair: ${describe(info)}`)
    }
    for (const [offset, digest] of records) {
      const isStated = this.#isStated(name, offset)
      const isBeyond = offset >= end
      if (isBeyond && before?.has(offset) === true) {
        trial.find('lost', `${name}@${offset} was read before the repair and is gone`)
      } else if (isBeyond && !isStated) {
        trial.find('lost', `${name}@${offset} is gone after a repair that does not state it`)
      }
      if (!isBeyond && !isStated) continue
      records.delete(offset)
      stream.places.delete(digest)
    }
    stream.nextOffset = Math.min(stream.nextOffset, end)
  }

  /**
   * What is refused after a repair has to be what the repair stated, and not what could be read.
   * @param before offsets that were read before the repair, if anything was
   */
  judge(
    trial: Trial,
    stream: string,
    named: readonly NamedRange[],
    before: ReadonlySet<number> | undefined,
  ): void {
    for (const { from, to, code } of named) {
      const what = `${stream} after a repair: ${code} ${from} to ${to}`
      const isStated = this.#isStated(stream, from) && this.#isStated(stream, to - 1)
      if (!isStated) trial.find('refused', `${what}, which the repair does not state`)
      const wasRead = [...(before ?? [])].some(offset => offset >= from && offset < to)
      if (wasRead) trial.find('lost', `${what}, of which some was read before it`)
    }
  }

  #isStated(name: string, offset: number): boolean {
    return this.#losses.some(({ shard, stream, firstOffset, nextOffset }) => {
      const isOurs = stream === null ? shard === crc32(name) % SHARDS : stream === name
      if (!isOurs) return false
      return offset >= (firstOffset ?? 0) && offset < (nextOffset ?? Number.POSITIVE_INFINITY)
    })
  }
}
