import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { StoreError } from '../../../shared/errors.ts'
import { KIB } from '../../../shared/limits.ts'
import { checkStreamName } from '../../../shared/format/stream-name.ts'
import type { ReadPage, ReadRequest } from '../../../shared/protocol/streams.ts'
import { Problem } from '../../../shared/schemas/problem.ts'
import { ReadAnswer, ReadQuery, RecordParams, RecordQuery } from '../../../shared/schemas/read.ts'
import { RecordObject } from '../../../shared/schemas/read.ts'
import { StreamParams } from '../../../shared/schemas/scalars.ts'
import { negotiate } from '../accept.ts'
import { serveEvents } from '../event-stream.ts'
import type { RouteContext } from '../route-context.ts'

const PAGE_TYPES = {
  'application/json': 'json',
  'application/x-ndjson': 'ndjson',
  'application/vnd.varve.batch': 'batch',
} as const
/** A page that is longer is sent in parts: a copy would double it. */
const COPIED_BYTES_MAX = 256 * KIB
type PageType = keyof typeof PAGE_TYPES
const RECORD_TYPES = [
  'application/json',
  'application/x-ndjson',
  'application/vnd.varve.batch',
] as const
const READ_TYPES = [...RECORD_TYPES, 'text/event-stream'] as const

/** Reads pages, single records, and live event streams. Only durable records are ever shown. */
export function readRoutes(context: RouteContext): FastifyPluginAsyncZod {
  const { reads, metrics } = context
  return async app => {
    const records = '/v1/streams/:stream/records'
    // Payloads are rendered already: the answers' schemas are for the document.
    const serializerCompiler = () => (data: unknown) => data as string
    app.get(
      records,
      {
        schema: {
          params: StreamParams,
          querystring: ReadQuery,
          response: { 200: ReadAnswer, '4xx': Problem },
        },
        serializerCompiler,
      },
      async (request, reply) => {
        const stream = checkStreamName(request.params.stream)
        const type = accepted(request, READ_TYPES)
        if (type === 'text/event-stream') {
          return serveEvents(context, stream, request.query, request, reply)
        }
        const wanted = readRequest(request.query, type)
        const page = await readOrWait(context, stream, wanted, request.query.wait, reply)
        metrics.onRead(page.count, page.payload.length)
        return sendPage(reply, type, page, type === 'application/json' ? stream : undefined)
      },
    )
    app.get(
      `${records}/:offset`,
      {
        schema: {
          params: RecordParams,
          querystring: RecordQuery,
          response: { 200: RecordObject, '4xx': Problem },
        },
        serializerCompiler,
      },
      async (request, reply) => {
        const stream = checkStreamName(request.params.stream)
        const type = accepted(request, RECORD_TYPES)
        const { offset: from } = request.params
        const { verify } = request.query
        const encoding = PAGE_TYPES[type]
        const bounds = { direction: 'forward', limit: 1, maxBytes: 1 } as const
        const page = await reads
          .page(reply.raw, stream, { from, verify, encoding, ...bounds })
          .catch((error: unknown) => {
            throw isBeyondEnd(error) ? recordNotFound(from) : error
          })
        if (page.count === 0) throw recordNotFound(from)
        metrics.onRead(page.count, page.payload.length)
        return sendPage(reply, type, page, undefined)
      },
    )
  }
}

function accepted<Type extends string>(
  request: FastifyRequest,
  offered: readonly [Type, ...Type[]],
): Type {
  const type = negotiate(request.headers.accept, offered)
  if (type !== undefined) return type
  throw new StoreError('not_acceptable', `what is served here: ${offered.join(', ')}`)
}

function readRequest(query: ReadQuery, type: PageType): ReadRequest {
  const { direction, limit, maxBytes, since, after, verify, from = 'start' } = query
  const encoding = PAGE_TYPES[type]
  const request = { from, direction, limit, maxBytes, verify, encoding }
  if (since !== undefined) return { ...request, since }
  return after === undefined ? request : { ...request, after }
}

/** At the end of an open stream waits, as long as the client stays, for a record to come. */
async function readOrWait(
  { reads, hub }: RouteContext,
  stream: string,
  request: ReadRequest,
  waitMs: number,
  reply: FastifyReply,
): Promise<ReadPage> {
  const page = await reads.page(reply.raw, stream, request)
  const isAtEnd = page.count === 0 && page.nextOffset === page.tailOffset && !page.closed
  const isLast = !isAtEnd || waitMs === 0 || request.direction === 'backward'
  if (isLast || page.tailOffset === undefined) return page
  const left = new AbortController()
  const timer = setTimeout(() => left.abort(), waitMs)
  const onClose = () => left.abort()
  reply.raw.once('close', onClose)
  try {
    await hub.waitFor(stream, page.tailOffset, left.signal)
  } finally {
    clearTimeout(timer)
    reply.raw.off('close', onClose)
  }
  if (hub.isClosed) reply.header('connection', 'close')
  // From where the first read stood: `end` would be past the record that was waited for.
  const next = continued(request, page)
  return hub.isClosed ? page : readOn(() => reads.page(reply.raw, stream, next), request, page)
}

/**
 * Reads after a wait, and fails if another stream has the name now. A client without a cursor must
 * get neither `history_mismatch` nor records from the middle of another stream.
 * @throws StoreError stream_deleted, and what `read` throws
 */
async function readOn(
  read: () => Promise<ReadPage>,
  { after }: ReadRequest,
  before: ReadPage,
): Promise<ReadPage> {
  try {
    const page = await read()
    if (page.streamId === before.streamId || before.nextOffset === 0) return page
  } catch (error) {
    const isOther = error instanceof StoreError && error.code === 'history_mismatch'
    if (!isOther || after !== undefined) throw error
  }
  const detail = 'the stream was deleted during the wait; another has its name now'
  throw new StoreError('stream_deleted', detail)
}

function continued(request: ReadRequest, { nextOffset: from, lastHash }: ReadPage): ReadRequest {
  if (request.since !== undefined || lastHash === null) return { ...request, from }
  return { ...request, from, after: lastHash }
}

function sendPage(
  reply: FastifyReply,
  type: PageType,
  page: ReadPage,
  /** Wraps the records, which are one object otherwise. */
  envelopeOf: string | undefined,
): FastifyReply {
  const { firstOffset, nextOffset, tailOffset, closed, streamId, lastHash } = page
  const { unvouched, signedThrough } = page
  const payload = Buffer.from(page.payload.buffer, page.payload.byteOffset, page.payload.length)
  const isAtEnd = closed && nextOffset === tailOffset
  reply.header('content-type', type === 'application/json' ? `${type}; charset=utf-8` : type)
  reply.header('varve-first-offset', firstOffset)
  reply.header('varve-next-offset', nextOffset)
  if (tailOffset !== undefined) reply.header('varve-tail-offset', tailOffset)
  reply.header('varve-stream-id', streamId)
  if (lastHash !== null) reply.header('varve-last-hash', lastHash)
  if (unvouched !== undefined) reply.header('varve-unvouched-offset', unvouched)
  if (signedThrough !== undefined) reply.header('varve-signed-through', signedThrough)
  if (isAtEnd) reply.header('varve-stream-closed', 'true')
  if (envelopeOf === undefined) return reply.send(payload)
  const opening =
    `{"stream":${JSON.stringify(envelopeOf)},"firstOffset":${firstOffset},` +
    `"nextOffset":${nextOffset},` +
    (tailOffset === undefined ? '' : `"tailOffset":${tailOffset},`) +
    `"closed":${closed},` +
    `"streamId":"${streamId}","lastHash":${JSON.stringify(lastHash)},` +
    (unvouched === undefined ? '' : `"unvouched":${unvouched},`) +
    (signedThrough === undefined ? '' : `"signedThrough":${signedThrough},`) +
    '"records":['
  const parts = [Buffer.from(opening), payload, Buffer.from(']}')]
  if (payload.length < COPIED_BYTES_MAX) return reply.send(Buffer.concat(parts))
  reply.header(
    'content-length',
    parts.reduce((sum, { length }) => sum + length, 0),
  )
  return reply.send(Readable.from(parts))
}

function isBeyondEnd(error: unknown): boolean {
  return error instanceof StoreError && error.code === 'beyond_end'
}

function recordNotFound(offset: number): StoreError {
  return new StoreError('record_not_found', `the stream has no record ${offset}`)
}
