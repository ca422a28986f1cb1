import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { StoreError } from '../../../shared/errors.ts'
import { Problem } from '../../../shared/schemas/problem.ts'
import { SessionReply, SessionRequest } from '../../../shared/schemas/session.ts'
import type { RouteContext } from '../route-context.ts'

const SessionQuery = z.strictObject({})
/** OpenAPI has no place for the messages of a WebSocket: both shapes are under the upgrade. */
const SessionMessages = z
  .object({ request: SessionRequest, answer: SessionReply })
  .describe('Upgraded to a WebSocket. Each text message sent is a request, each one got an answer')
const DESCRIPTION =
  'Many appends in flight on one WebSocket, answered in the order they were sent; JSON in text ' +
  'messages, or the binary layout of src/shared/format/README.md.'

/** Appends over a WebSocket. What is wrong before the upgrade is answered as plain HTTP. */
export function sessionRoute(context: RouteContext): FastifyPluginAsyncZod {
  const { sessions, upgrades } = context

  async function open(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    if (!request.ws) throw new StoreError('invalid_request', 'this address takes WebSockets only')
    sessions.admit(request.raw.socket)
    reply.hijack()
    upgrades.accept(request.raw, (socket, connection) => sessions.start(socket, connection))
  }

  return async app => {
    app.route({
      method: 'GET',
      url: '/v1/session',
      schema: {
        summary: 'Append session',
        description: DESCRIPTION,
        querystring: SessionQuery,
        response: { 101: SessionMessages, '4xx': Problem },
      },
      preHandler: open,
      handler: () => {
        throw new StoreError('internal', 'a session was not upgraded')
      },
    })
  }
}
