import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type Outcome, StoreError } from '../../../shared/errors.ts'
import type { TransactionResult } from '../../../shared/protocol/streams.ts'
import { Problem } from '../../../shared/schemas/problem.ts'
import { TransactionAnswer, TransactionBody } from '../../../shared/schemas/transactions.ts'
import type { TransactionAppend } from '../../store.ts'
import { sendProblem, toAppendFailure } from '../failures.ts'
import { parseMediaType } from '../media-type.ts'
import { readProducer } from '../producer-headers.ts'
import type { RouteContext } from '../route-context.ts'
import { readTransaction } from '../transaction-body.ts'

const EMPTY = Buffer.alloc(0)

/** Appends to many streams, all of them or none. */
export function transactionRoute({ store, config, bodies, metrics }: RouteContext) {
  function admit(request: FastifyRequest, _reply: unknown, done: (error?: Error) => void): void {
    try {
      checkType(request.headers['content-type'])
      bodies.admit(request.raw, config.requestBytesMax)
      done()
    } catch (error) {
      done(error as Error)
    }
  }

  async function transact(appends: readonly TransactionAppend[]): Promise<TransactionResult> {
    const startedAt = performance.now()
    let outcome: 'committed' | Outcome = 'unknown'
    try {
      const result = await store.transact(appends)
      outcome = 'committed'
      return result
    } catch (error) {
      const failure = toAppendFailure(error)
      if (failure.fields.outcome === 'not_applied') outcome = 'not_applied'
      throw failure
    } finally {
      metrics.onTransaction(outcome, performance.now() - startedAt)
    }
  }

  return async (app: FastifyInstance): Promise<void> => {
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', (request, _payload, done) => bodies.read(request.raw, done))
    app.setErrorHandler((error, request, reply) => {
      bodies.release(request.raw)
      sendProblem(error, request, reply, 'not_applied')
    })
    app.route({
      method: 'POST',
      url: '/v1/transactions',
      schema: { body: TransactionBody, response: { 200: TransactionAnswer, '4xx': Problem } },
      // The body's schema is for the document: records are read by append-body.ts.
      validatorCompiler: () => () => true,
      bodyLimit: config.requestBytesMax,
      onRequest: admit,
      handler: async request => {
        checkAsked(request)
        const body = (request.body as Buffer | undefined) ?? EMPTY
        const result = await transact(readTransaction(body, config))
        bodies.release(request.raw)
        return result
      },
    })
  }
}

/** What an append may ask for, and would be thought to hold here. */
function checkAsked({ query, raw }: FastifyRequest): void {
  const [name] = Object.keys(query as object)
  if (name !== undefined) {
    throw new StoreError('invalid_request', `querystring: a transaction takes no ${name}`)
  }
  if (readProducer(raw) === undefined) return
  throw new StoreError('invalid_request', 'a transaction takes no producer')
}

function checkType(contentType: string | undefined): void {
  if (parseMediaType(contentType)?.type === 'application/json') return
  throw new StoreError('unsupported_media_type', 'the Content-Type must be application/json')
}
