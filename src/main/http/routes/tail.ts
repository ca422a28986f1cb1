import type { IncomingMessage } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { StoreError } from '../../../shared/errors.ts'
import { checkStreamName } from '../../../shared/format/stream-name.ts'
import { StreamParams } from '../../../shared/schemas/scalars.ts'
import { TailQuery } from '../../../shared/schemas/tail.ts'
import { Subscription } from '../../tail/subscription.ts'
import { WebSocketSink } from '../../tail/websocket-sink.ts'
import type { RouteContext } from '../route-context.ts'

/** Follows a stream at a WebSocket. What is wrong is answered before the upgrade, as plain HTTP. */
export function tailRoute({
  store,
  hub,
  config,
  partialMessages,
}: RouteContext): FastifyPluginAsyncZod {
  const opened = new WeakMap<IncomingMessage, Subscription>()

  async function open(request: FastifyRequest): Promise<void> {
    if (!request.ws) throw new StoreError('invalid_request', 'this address takes WebSockets only')
    const stream = checkStreamName((request.params as StreamParams).stream)
    const { from, after } = request.query as TailQuery
    const start = after === undefined ? { from } : { from, after }
    const subscription = await Subscription.open(hub, store, stream, start)
    opened.set(request.raw, subscription)
    // Also when the upgrade itself fails.
    const { socket } = request.raw
    socket.once('close', () => subscription.stop())
    if (socket.destroyed) subscription.stop()
  }

  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/streams/:stream/tail',
      schema: { params: StreamParams, querystring: TailQuery },
      preHandler: open,
      handler: () => {
        throw new StoreError('internal', 'a tail was not upgraded')
      },
      wsHandler: (socket, request) => {
        const { format } = request.query
        partialMessages.watch(socket, request.raw.socket)
        opened.get(request.raw)?.start(new WebSocketSink(socket, format), config.heartbeatMs)
      },
    })
  }
}
