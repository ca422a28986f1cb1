import { StoreError } from '../../shared/errors.ts'
import { latin1ToHex } from '../../shared/format/bytes.ts'
import type { ShardEvent } from '../../shared/protocol/shard.ts'
import type { StreamListener, StreamSubscription } from '../store.ts'
import type { ShardClient } from './shard-client.ts'

type WatchEvent = Extract<ShardEvent, { kind: 'records' | 'end' }>

type Watch = {
  readonly client: ShardClient
  readonly listener: StreamListener
  /** Where the watch begins; undefined until the shard has said. */
  nextOffset: number | undefined
  /** Events that came before the shard's answer did: they travel by another way. */
  readonly early: WatchEvent[]
}

/** Subscriptions of the front end to what becomes durable in the shards. */
export class Watches {
  readonly #owner: (stream: string) => ShardClient
  readonly #watches = new Map<number, Watch>()
  #last = 0

  constructor(owner: (stream: string) => ShardClient) {
    this.#owner = owner
  }

  async add(stream: string, listener: StreamListener): Promise<StreamSubscription> {
    const id = ++this.#last
    const client = this.#owner(stream)
    const watch: Watch = { client, listener, nextOffset: undefined, early: [] }
    this.#watches.set(id, watch)
    let streamId = ''
    try {
      const question = { kind: 'watch', stream, watch: id } as const
      const start = await client.query<{ nextOffset: number; streamId: string }>(question)
      watch.nextOffset = start.nextOffset
      streamId = latin1ToHex(start.streamId)
    } catch (error) {
      this.#watches.delete(id)
      throw error
    }
    // A failed shard still answers, but its watches have ended: this one would never hear of it.
    if (!this.#watches.has(id)) throw ended()
    // The caller must have the subscription in hand before its first event.
    setImmediate(() => {
      for (const event of watch.early.splice(0)) this.#deliver(watch, event)
    })
    return { nextOffset: watch.nextOffset, streamId, cancel: () => this.#cancel(id) }
  }

  onEvent(event: WatchEvent): void {
    const watch = this.#watches.get(event.watch)
    if (watch === undefined) return
    if (watch.nextOffset === undefined || watch.early.length > 0) watch.early.push(event)
    else this.#deliver(watch, event)
  }

  /**
   * Ends the watches of a shard that failed or whose thread died: a thread that is started again
   * knows nothing of them. One that has not begun is refused once its shard has answered.
   */
  endShard(shard: number): void {
    for (const [id, watch] of this.#watches) {
      if (watch.client.status.shard !== shard) continue
      this.#watches.delete(id)
      if (watch.nextOffset !== undefined) watch.listener.onEnd('failed')
    }
  }

  endAll(): void {
    for (const { listener } of this.#watches.values()) listener.onEnd('failed')
    this.#watches.clear()
  }

  #deliver(watch: Watch, event: WatchEvent): void {
    if (!this.#watches.has(event.watch)) return
    if (event.kind === 'end') {
      this.#watches.delete(event.watch)
      return watch.listener.onEnd(event.reason)
    }
    if (event.nextOffset <= (watch.nextOffset ?? 0)) return
    const { firstOffset, nextOffset, records } = event
    const bytes = records && Buffer.from(records.buffer, records.byteOffset, records.length)
    const lastHash = latin1ToHex(event.lastHash)
    watch.listener.onRecords({ firstOffset, nextOffset, records: bytes, lastHash })
  }

  #cancel(id: number): void {
    const watch = this.#watches.get(id)
    if (!this.#watches.delete(id) || watch === undefined) return
    // A shard that is gone has forgotten the watch by itself.
    watch.client.query({ kind: 'unwatch', watch: id }).catch(() => undefined)
  }
}

function ended(): StoreError {
  return new StoreError('shard_failed', 'the shard failed before the stream could be followed')
}
