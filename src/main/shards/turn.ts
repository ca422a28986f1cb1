import type { StoreError } from '../../shared/errors.ts'
import type { Mutation, MutationValue } from '../../shared/protocol/shard.ts'
import type { AppendResult } from '../../shared/protocol/streams.ts'

/** A mutation and who waits for it. */
export type TurnEntry = {
  readonly mutation: Mutation
  readonly batch: Buffer | undefined
  resolve(value: MutationValue, durable: boolean): void
  reject(error: StoreError): void
}

/** Space before the first batch, which the shard takes its hash over. */
const HEADROOM_BYTES = 96

/** Collects the mutations of one turn of the event loop, so that they travel as one task. */
export class Turn {
  readonly #send: (entries: readonly TurnEntry[]) => void
  #entries: TurnEntry[] = []

  constructor(send: (entries: readonly TurnEntry[]) => void) {
    this.#send = send
  }

  add(entry: TurnEntry): void {
    // Immediates run after all sockets that were readable in this turn have been read.
    if (this.#entries.push(entry) === 1) setImmediate(() => this.flush())
  }

  /** Sends what has come together, if anything. */
  flush(): void {
    if (this.#entries.length === 0) return
    const entries = this.#entries
    this.#entries = []
    this.#send(entries)
  }

  /** The mutations with their batches side by side in one buffer, which may be transferred. */
  static pack(entries: readonly TurnEntry[]): { mutations: Mutation[]; bytes: Uint8Array } {
    const length = entries.reduce((sum, { batch }) => sum + (batch?.length ?? 0), HEADROOM_BYTES)
    const bytes = Buffer.allocUnsafeSlow(length)
    const mutations: Mutation[] = []
    let at = HEADROOM_BYTES
    for (const { mutation, batch } of entries) {
      mutations.push(placed(mutation, at))
      if (batch !== undefined) at += batch.copy(bytes, at)
    }
    return { mutations, bytes }
  }
}

/** The mutation with its batches, which lie one behind the other, from `start` on. */
function placed(mutation: Mutation, start: number): Mutation {
  if (mutation.kind === 'append') return placedAppend(mutation, start)
  if (mutation.kind !== 'transact' && mutation.kind !== 'prepare') return mutation
  const appends = mutation.appends.map(append => ({ ...append, at: start + append.at }))
  return { ...mutation, appends }
}

// Both are written out, because they run for every append and V8 spreads objects slowly.

export function appendResult(
  result: Omit<AppendResult, 'durable'>,
  durable: boolean,
): AppendResult {
  const { firstOffset, nextOffset, durability, duplicate, timestamp } = result
  const { streamId, recordHash, chainHead } = result
  return {
    firstOffset,
    nextOffset,
    durability,
    durable,
    duplicate,
    timestamp,
    streamId,
    recordHash,
    chainHead,
  }
}

function placedAppend(append: Extract<Mutation, { kind: 'append' }>, at: number): Mutation {
  const { kind, stream, length, count, expectedOffset, durability, producer } = append
  return { kind, stream, at, length, count, expectedOffset, durability, producer }
}
