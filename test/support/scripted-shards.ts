import type { Mutation, MutationValue } from '../../src/shared/protocol/shard.ts'
import { Transactions } from '../../src/main/shards/transactions.ts'
import { StoreError } from '../../src/shared/errors.ts'
import { encodeTexts } from './simulated-shard.ts'

type Reply = 'done' | 'never' | StoreError

/** Shards that do as they are told, and the driver of transactions over them. */
export class ScriptedShards {
  /** What was asked, in order: the shard, the kind, and the outcome of a resolution. */
  readonly asked: string[] = []
  readonly driver: Transactions
  readonly #replies = new Map<string, Reply>()
  #expire: () => void = () => undefined

  /** Streams are named by the shard that they are on: s0, s1, ... */
  constructor(shards: number) {
    this.driver = new Transactions({
      shards: Array.from({ length: shards }, (_, shard) => ({
        mutate: mutation => this.#mutate(shard, mutation),
      })),
      shardOf: stream => Number(stream.slice(1, 2)),
      timeoutMs: 1,
      timer: (_, callback) => {
        this.#expire = callback
        return () => undefined
      },
      randomId: () => 0xabc,
    })
    for (let shard = 0; shard < shards; shard += 1) this.open(shard)
  }

  /** What shard answers to a kind of message, from now on. */
  on(shard: number, kind: Mutation['kind'], reply: Reply): void {
    this.#replies.set(`${shard} ${kind}`, reply)
  }

  open(
    shard: number,
    inDoubt: readonly { id: number; coordinator: number }[] = [],
    decisions: readonly number[] = [],
  ): void {
    this.driver.onOpened(shard, { inDoubt, decisions, endLsn: 0 })
  }

  expire(): void {
    this.#expire()
  }

  /** Starts a transaction; what it came to, once it has. */
  transact(...streams: readonly string[]): { outcome: string | undefined } {
    const state: { outcome: string | undefined } = { outcome: undefined }
    const batch = encodeTexts(['text'])
    const appends = streams.map(stream => ({ stream, batch, count: 1 }))
    this.driver.transact(appends).then(
      ({ transactionId }) => {
        state.outcome = transactionId
      },
      (error: unknown) => {
        if (!(error instanceof StoreError)) throw error
        state.outcome = `${error.code} ${error.fields['outcome']}`
      },
    )
    return state
  }

  #mutate(shard: number, mutation: Mutation): Promise<{ readonly value: MutationValue }> {
    const { kind } = mutation
    this.asked.push([shard, kind, ...('outcome' in mutation ? [mutation.outcome] : [])].join(' '))
    const reply = this.#replies.get(`${shard} ${kind}`) ?? 'done'
    if (reply === 'never') return new Promise(() => {})
    if (reply !== 'done') return Promise.reject(reply)
    if (!('appends' in mutation))
      return Promise.resolve({ value: kind === 'decide' ? { endLsn: 200 } : null })
    const appends = mutation.appends.map(({ stream }) => ({
      stream,
      firstOffset: 0,
      nextOffset: 1,
      chainHead: '',
    }))
    return Promise.resolve({ value: { appends, endLsn: 100 } })
  }
}

/** Lets every promise that can go on do so. */
export function allGoOn(): Promise<void> {
  return new Promise(resolve => {
    setImmediate(resolve)
  })
}
