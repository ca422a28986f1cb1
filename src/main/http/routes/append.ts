import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { StoreError } from '../../../shared/errors.ts'
import { RecordFormat } from '../../../shared/format/record.ts'
import { checkStreamName } from '../../../shared/format/stream-name.ts'
import {
  AppendAnswer,
  AppendBody,
  AppendQuery,
  ProducerHeaders,
} from '../../../shared/schemas/append.ts'
import { Problem } from '../../../shared/schemas/problem.ts'
import { StreamParams } from '../../../shared/schemas/scalars.ts'
import type { AppendRequest } from '../../store.ts'
import { AppendAnswers } from '../append-answer.ts'
import { checkBatchBody, encodeJsonBody, encodeLoneBody, encodeNdjsonBody } from '../append-body.ts'
import type { EncodedBatch } from '../append-checks.ts'
import { sendProblem, toAppendFailure } from '../failures.ts'
import type { AppendLimits } from '../http-config.ts'
import { parseMediaType } from '../media-type.ts'
import { readProducer } from '../producer-headers.ts'
import type { RouteContext } from '../route-context.ts'

// The hot path. Bodies are charged to the budget and their type is checked before they are read;
// what the schemas say is checked by hand where nothing is given that needs them.

type Encoder = (body: Buffer, limits: AppendLimits) => EncodedBatch

const ENCODERS: Readonly<Record<string, Encoder>> = {
  'application/json': encodeJsonBody,
  'application/x-ndjson': encodeNdjsonBody,
  'text/plain': (body, limits) => encodeLoneBody(body, RecordFormat.Text, limits),
  'application/octet-stream': (body, limits) => encodeLoneBody(body, RecordFormat.Binary, limits),
  'application/vnd.varve.batch': checkBatchBody,
}
const WITHOUT_CHARSET = new Set(['application/octet-stream', 'application/vnd.varve.batch'])
const EMPTY = Buffer.alloc(0)
const NO_QUERY = { expectedOffset: undefined, durability: undefined }
const JSON_TYPE = 'application/json; charset=utf-8'

/** Answers only once the batch is as durable as the answer says. */
export function appendRoute(context: RouteContext) {
  const { store, config, bodies, metrics } = context
  const pending = new WeakMap<FastifyRequest, Encoder>()
  const answers = new AppendAnswers()

  function admit(request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void) {
    try {
      const encode = encoderOf(request.headers['content-type'])
      bodies.admit(request.raw, config.requestBytesMax)
      pending.set(request, encode)
      done()
    } catch (error) {
      done(error as Error)
    }
  }

  async function append(request: FastifyRequest, reply: FastifyReply): Promise<string> {
    const startedAt = performance.now()
    const appendRequest = readRequest(request, pending.get(request), config)
    const { stream, batch, count } = appendRequest
    const bytes = batch.length
    const result = await store.append(appendRequest).catch(rethrow)
    bodies.release(request.raw)
    if (result.duplicate) metrics.onDuplicate()
    else metrics.onAppend(count, bytes, performance.now() - startedAt)
    reply.header('content-type', JSON_TYPE)
    return answers.render(stream, count, result)
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
      url: '/v1/streams/:stream/records',
      schema: {
        params: StreamParams,
        querystring: AppendQuery,
        headers: ProducerHeaders,
        body: AppendBody,
        response: { 200: AppendAnswer, '4xx': Problem },
      },
      // The schemas are for the document: the body comes in five types, the query is read by hand.
      validatorCompiler: () => () => true,
      bodyLimit: config.requestBytesMax,
      onRequest: admit,
      handler: append,
    })
  }
}

function readRequest(
  request: FastifyRequest,
  encode: Encoder | undefined,
  limits: AppendLimits,
): AppendRequest {
  const stream = checkStreamName((request.params as StreamParams).stream)
  const producer = readProducer(request.raw)
  const { expectedOffset, durability } = hasQuery(request) ? readQuery(request.query) : NO_QUERY
  if (encode === undefined) throw new StoreError('internal', 'the request was not admitted')
  const { batch, count } = encode((request.body as Buffer | undefined) ?? EMPTY, limits)
  return { stream, batch, count, expectedOffset, durability, producer }
}

function hasQuery(request: FastifyRequest): boolean {
  return request.raw.url?.includes('?') === true
}

function readQuery(query: unknown): Pick<AppendRequest, 'expectedOffset' | 'durability'> {
  const parsed = AppendQuery.safeParse(query)
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`)
    throw new StoreError('invalid_request', `querystring: ${faults.join('; ')}`)
  }
  const { expectedOffset, durability } = parsed.data
  return { expectedOffset, durability }
}

function encoderOf(contentType: string | undefined): Encoder {
  const known = ENCODERS[contentType ?? '']
  if (known !== undefined) return known
  const { type = '', hasCharset = false } = parseMediaType(contentType) ?? {}
  const encode = Object.hasOwn(ENCODERS, type) ? ENCODERS[type] : undefined
  if (encode === undefined || (hasCharset && WITHOUT_CHARSET.has(type))) {
    const types = Object.keys(ENCODERS).join(', ')
    throw new StoreError('unsupported_media_type', `the Content-Type must be one of ${types}`)
  }
  return encode
}

function rethrow(error: unknown): never {
  throw toAppendFailure(error)
}
