import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { StoreError } from '../../../shared/errors.ts'
import { RecordFormat } from '../../../shared/format/record.ts'
import { formatTime } from '../../../shared/format/render.ts'
import { checkStreamName } from '../../../shared/format/stream-name.ts'
import type { AppendResult } from '../../../shared/protocol/streams.ts'
import { AppendAnswer, AppendBody, AppendQuery } from '../../../shared/schemas/append.ts'
import { Problem } from '../../../shared/schemas/problem.ts'
import { StreamParams } from '../../../shared/schemas/scalars.ts'
import type { AppendRequest } from '../../store.ts'
import {
  checkBatchBody,
  type EncodedBatch,
  encodeJsonBody,
  encodeLoneBody,
  encodeNdjsonBody,
} from '../append-body.ts'
import { refuseProducer } from '../deferred.ts'
import { sendProblem } from '../failures.ts'
import type { AppendLimits } from '../http-config.ts'
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
const CONTENT_TYPE = /^([^;\s]+)\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?;?\s*$/i
const EMPTY = Buffer.alloc(0)
const JSON_TYPE = 'application/json; charset=utf-8'

/** What one request holds while it is under way. */
type Pending = { readonly encode: Encoder; readonly bytes: number }

/** Answers only once the batch is as durable as the answer says. */
export function appendRoute(context: RouteContext) {
  const { store, config, budget, metrics } = context
  const pending = new WeakMap<FastifyRequest, Pending>()

  // Appends of one moment share their time.
  let lastTimestamp = 0
  let lastTime = ''
  function timeOf(timestamp: number): string {
    if (timestamp !== lastTimestamp) lastTime = formatTime(timestamp)
    lastTimestamp = timestamp
    return lastTime
  }

  function admit(request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void) {
    try {
      const encode = encoderOf(request.headers['content-type'])
      const bytes = announcedBytes(request.headers['content-length'], config.requestBytesMax)
      budget.charge(bytes)
      pending.set(request, { encode, bytes })
      done()
    } catch (error) {
      done(error as Error)
    }
  }

  function release(request: FastifyRequest): void {
    budget.release(pending.get(request)?.bytes ?? 0)
    pending.delete(request)
  }

  async function append(request: FastifyRequest, reply: FastifyReply): Promise<string> {
    const startedAt = performance.now()
    const appendRequest = readRequest(request, pending.get(request)?.encode, config)
    const { stream, batch, count } = appendRequest
    const bytes = batch.length
    const result = await store.append(appendRequest).catch(rethrowForeign)
    release(request)
    metrics.onAppend(count, bytes, performance.now() - startedAt)
    reply.header('content-type', JSON_TYPE)
    return renderAnswer(stream, count, result, timeOf(result.timestamp))
  }

  return async (app: FastifyInstance): Promise<void> => {
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
    app.setErrorHandler((error, request, reply) => {
      release(request)
      sendProblem(error, request, reply, 'not_applied')
    })
    app.route({
      method: 'POST',
      url: '/v1/streams/:stream/records',
      schema: {
        params: StreamParams,
        querystring: AppendQuery,
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
  refuseProducer(request.headers)
  const query = hasQuery(request) ? readQuery(request.query) : {}
  if (encode === undefined) throw new StoreError('internal', 'the request was not admitted')
  const { batch, count } = encode((request.body as Buffer | undefined) ?? EMPTY, limits)
  return { stream, batch, count, ...query }
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
  return {
    ...(expectedOffset === undefined ? {} : { expectedOffset }),
    ...(durability === undefined ? {} : { durability }),
  }
}

function encoderOf(contentType: string | undefined): Encoder {
  const known = ENCODERS[contentType ?? '']
  if (known !== undefined) return known
  const [, type = '', charset] = CONTENT_TYPE.exec(contentType ?? '') ?? []
  const name = type.toLowerCase()
  const encode = Object.hasOwn(ENCODERS, name) ? ENCODERS[name] : undefined
  if (encode === undefined || (charset !== undefined && WITHOUT_CHARSET.has(name))) {
    const types = Object.keys(ENCODERS).join(', ')
    throw new StoreError('unsupported_media_type', `the Content-Type must be one of ${types}`)
  }
  return encode
}

/** A body of unknown length may become as long as is allowed. */
function announcedBytes(contentLength: string | undefined, requestBytesMax: number): number {
  if (contentLength === undefined) return requestBytesMax
  const bytes = Number(contentLength)
  if (bytes <= requestBytesMax) return bytes
  const detail = `the request body has ${bytes} bytes, ${requestBytesMax} are allowed`
  throw new StoreError('body_too_large', detail, { requestBytesMax })
}

function rethrowForeign(error: unknown): never {
  if (error instanceof StoreError) throw error
  const fields = { outcome: 'unknown' }
  throw new StoreError('internal', 'an unexpected failure while appending', fields, error)
}

/** By hand: a third of the cost of JSON.stringify, and only the name needs escapes. */
function renderAnswer(stream: string, count: number, result: AppendResult, time: string): string {
  const { firstOffset, nextOffset, durability, durable, chainHead } = result
  return (
    `{"stream":${JSON.stringify(stream)},"firstOffset":${firstOffset},` +
    `"nextOffset":${nextOffset},"count":${count},"durability":"${durability}",` +
    `"durable":${durable},"duplicate":false,"timestamp":"${time}",` +
    `"chainHead":"${chainHead}"}`
  )
}
