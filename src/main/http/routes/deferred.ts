import type { FastifyInstance, HTTPMethods } from 'fastify'
import { StoreError } from '../../../shared/errors.ts'
import { notOffered } from '../deferred.ts'

/** Addresses of api.md that this version does not serve yet, and what would be served there. */
const DEFERRED: readonly (readonly [method: HTTPMethods, url: string, what: string])[] = [
  ['POST', '/v1/transactions', 'transactions'],
  ['POST', '/v1/streams/:stream/trim', 'trims'],
  ['POST', '/v1/streams/:stream/checkpoints', 'checkpoints'],
  ['GET', '/v1/streams/:stream/checkpoints', 'checkpoints'],
  ['GET', '/v1/keys', 'signing keys'],
  ['GET', '/v1/session', 'append sessions'],
]

/** Refuses before a body is read; what it would have appended is not applied. */
export async function deferredRoutes(app: FastifyInstance): Promise<void> {
  for (const [method, url, what] of DEFERRED) {
    app.route({
      method,
      url,
      schema: { hide: true },
      onRequest: async () => {
        const failure = notOffered(what)
        throw method === 'POST' ? failure.withOutcome('not_applied') : failure
      },
      handler: () => {
        throw new StoreError('internal', 'a deferred route was reached')
      },
    })
  }
}
