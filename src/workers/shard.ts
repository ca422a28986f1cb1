import { StoreError } from '../shared/errors.ts'
import type { ShardReply, ShardRequest } from '../shared/protocol/shard.ts'
import { crash, unreachable } from '../shared/assert.ts'
import { DiskError } from './disk/disk.ts'
import { Shard } from './engine/shard-thread.ts'
import { JournalDamage } from './recovery/journal-walk.ts'

let shard: Shard | undefined

/**
 * Entry of a shard thread: one request, one reply. Expected failures are replies; of any other the
 * thread dies, and the front end starts it again, which is a recovery from disk.
 */
export default async function answer(request: ShardRequest): Promise<ShardReply<unknown>> {
  try {
    return { value: await serve(request) }
  } catch (error) {
    const expected = toStoreError(error)
    if (expected !== undefined) return { error: expected.toPlain() }
    crash(error)
    const failure = new StoreError('shard_failed', 'the shard met a defect', { outcome: 'unknown' })
    return { error: failure.toPlain() }
  }
}

function toStoreError(error: unknown): StoreError | undefined {
  if (error instanceof StoreError) return error
  if (error instanceof JournalDamage || error instanceof DiskError) {
    return new StoreError('shard_failed', error.message)
  }
  return undefined
}

function serve(request: ShardRequest): unknown {
  if (request.kind === 'open') {
    shard = new Shard(request)
    return shard.read
  }
  switch (request.kind) {
    case 'mutate':
      return open().mutate(request.mutations, request.bytes)
    case 'plan':
      return open().streams.plan(request.stream, request.range)
    case 'info':
      return open().streams.info(request.stream)
    case 'list':
      return open().streams.list(request.prefix, request.after, request.limit)
    case 'watch':
      return open().watch(request.stream, request.watch)
    case 'unwatch':
      return open().unwatch(request.watch)
    case 'reindex':
      return open().reindex(request)
    case 'relist':
      return open().relist(request.stream, request.streamId)
    case 'stats':
      return open().engine.stats()
    case 'begin':
      return open().begin(request.lost)
    case 'stop':
      return open().stop()
    default:
      return unreachable(request)
  }
}

function open(): Shard {
  if (shard === undefined) throw new StoreError('shard_failed', 'the shard is not open')
  return shard
}
