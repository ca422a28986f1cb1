import type { FastifyReply, FastifyRequest } from 'fastify'
import { StoreError } from '../../shared/errors.ts'
import type { ReadQuery } from '../../shared/schemas/read.ts'
import { EventStreamSink } from '../tail/event-stream-sink.ts'
import { Subscription, type SubscriptionStart } from '../tail/subscription.ts'
import type { RouteContext } from './route-context.ts'

/**
 * Sends records as server-sent events: catches up, then follows. Each `id` is the cursor behind its
 * record, `<nextOffset>.<lastHash>`; a client that comes back with one gets the records after, or
 * learns that the stream's past is another. At the end of a closed stream such a client gets 204,
 * which tells an EventSource to come no more.
 */
export async function serveEvents(
  { hub, store, config }: RouteContext,
  stream: string,
  query: ReadQuery,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  if (query.direction === 'backward') {
    throw new StoreError('invalid_request', 'an event stream goes forward')
  }
  const last = lastEventOf(request)
  const subscription = await Subscription.open(hub, store, stream, last ?? startOf(query))
  const response = reply.raw
  if (response.destroyed) subscription.stop()
  response.on('close', () => subscription.stop())
  const { position, tailOffset, isClosed, streamId, lastHash } = subscription
  const isAtEnd = isClosed && position === tailOffset
  const headers = {
    'varve-next-offset': position,
    ...(tailOffset === undefined ? {} : { 'varve-tail-offset': tailOffset }),
    'varve-stream-id': streamId,
    ...(lastHash === null ? {} : { 'varve-last-hash': lastHash }),
    ...(isAtEnd ? { 'varve-stream-closed': 'true' } : {}),
  }
  if (isAtEnd && last !== undefined) {
    subscription.stop()
    return reply.code(204).headers(headers).send()
  }
  reply.hijack()
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) response.setHeader(name, value)
  }
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    connection: 'close', // the end of the stream is the end of the connection
    ...headers,
  })
  response.flushHeaders()
  subscription.start(new EventStreamSink(response), config.heartbeatMs)
  return reply
}

/** Returns where a reconnecting client continues; undefined for a new client. */
function lastEventOf({ headers }: FastifyRequest): SubscriptionStart | undefined {
  const last = headers['last-event-id']
  if (last === undefined || last === '') return undefined
  const [, digits = '', after] = /^(\d{1,16})(?:\.([0-9a-f]{64}))?$/.exec(String(last)) ?? []
  const from = digits === '' ? Number.NaN : Number(digits)
  if (!Number.isSafeInteger(from)) {
    const detail = 'Last-Event-ID must be an offset, optionally followed by a dot and a hash'
    throw new StoreError('invalid_request', detail)
  }
  return after === undefined ? { from } : { from, after }
}

function startOf({ from = 'start', since, after }: ReadQuery): SubscriptionStart {
  if (since !== undefined) return { from, since }
  return after === undefined ? { from } : { from, after }
}
