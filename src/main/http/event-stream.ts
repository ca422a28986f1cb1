import type { FastifyReply, FastifyRequest } from 'fastify'
import { StoreError } from '../../shared/errors.ts'
import type { ReadQuery } from '../../shared/schemas/read.ts'
import { EventStreamSink } from '../tail/event-stream-sink.ts'
import { Subscription, type SubscriptionStart } from '../tail/subscription.ts'
import type { RouteContext } from './route-context.ts'

/**
 * Records as server-sent events: catches up, then follows. `id` is the next offset, so that a
 * client which comes back with it gets the records after.
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
  const subscription = await Subscription.open(hub, store, stream, startOf(query, request))
  const response = reply.raw
  if (response.destroyed) subscription.stop()
  response.on('close', () => subscription.stop())
  const { position, tailOffset, isClosed } = subscription
  reply.hijack()
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) response.setHeader(name, value)
  }
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    connection: 'close', // the end of the stream is the end of the connection
    'varve-next-offset': position,
    'varve-tail-offset': tailOffset,
    ...(isClosed && position === tailOffset ? { 'varve-stream-closed': 'true' } : {}),
  })
  response.flushHeaders()
  subscription.start(new EventStreamSink(response), config.heartbeatMs)
  return reply
}

function startOf(query: ReadQuery, request: FastifyRequest): SubscriptionStart {
  const last = request.headers['last-event-id']
  if (last !== undefined && last !== '') {
    const offset = typeof last === 'string' && /^\d{1,16}$/.test(last) ? Number(last) : Number.NaN
    if (Number.isSafeInteger(offset)) return { from: offset }
    throw new StoreError('invalid_request', 'Last-Event-ID is not an offset')
  }
  const { from = 'start', since } = query
  return since === undefined ? { from } : { from, since }
}
