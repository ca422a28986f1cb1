import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { type ErrorCode, ERRORS, type Outcome, StoreError } from '../../shared/errors.ts'
import type { Problem } from '../../shared/schemas/problem.ts'

// Every failure → problem+json (RFC 9457), and nowhere else. What is not an expected failure is
// `internal`: its message goes to the log, never to the client.

const PROBLEM_TYPE = 'application/problem+json'
const RETRY_AFTER_SECONDS = '1'

/** Codes of Fastify's own errors that a client can cause, and what they are to it. */
const FASTIFY_ERRORS: Readonly<Record<string, readonly [code: ErrorCode, detail: string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ['body_too_large', 'the request body is longer than allowed'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'unsupported_media_type',
    'this Content-Type is not served here',
  ],
  FST_ERR_CTP_EMPTY_TYPE: ['unsupported_media_type', 'the Content-Type is empty'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['invalid_request', 'the body is not as long as announced'],
  FST_ERR_BAD_URL: ['invalid_request', 'the path is not valid percent-encoded UTF-8'],
  FST_ERR_ASYNC_CONSTRAINT: ['invalid_request', 'the request cannot be routed'],
  FST_ERR_MAX_PARAM_LENGTH: ['invalid_request', 'the path is too long'],
  ECONNRESET: ['invalid_request', 'the request ended before its body did'],
}

/** What a failure is to the caller. */
export function toStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error
  const { code, validation, validationContext, statusCode } = error as Partial<FastifyError>
  if (validation !== undefined) {
    const faults = validation.map(({ instancePath, message }) =>
      `${instancePath} ${message}`.trim(),
    )
    return new StoreError('invalid_request', `${validationContext}: ${faults.join('; ')}`)
  }
  const known = FASTIFY_ERRORS[code ?? '']
  if (known !== undefined) return new StoreError(known[0], known[1], {}, error)
  // Of the files of the documentation: no such file, or a path that leads out of their folder.
  if (statusCode === 403 || statusCode === 404) return nothingServed(error)
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new StoreError('invalid_request', 'the file cannot be served so', {}, error)
  }
  return new StoreError(
    'internal',
    'an unexpected failure; the log of the service has it',
    {},
    error,
  )
}

function nothingServed(cause?: unknown): StoreError {
  return new StoreError('not_found', 'nothing is served at this address', {}, cause)
}

/** Answers what a route passes on because it has nothing at the address. */
export function answerNotFound(request: FastifyRequest, reply: FastifyReply): void {
  sendProblem(nothingServed(), request, reply)
}

/** What a failure of the store's `append` is to the caller: it says what became of the append. */
export function toAppendFailure(error: unknown): StoreError {
  if (error instanceof StoreError) {
    return error.fields.outcome === undefined ? error.withOutcome('unknown') : error
  }
  const fields = { outcome: 'unknown' }
  return new StoreError('internal', 'an unexpected failure while appending', fields, error)
}

export function toProblem({ code, message, fields }: StoreError): Problem {
  const { title, status, retryable } = ERRORS[code]
  const type = `urn:varve:problem:${code}`
  return { ...fields, type, title, status, code, detail: message, retryable }
}

/** Answers with the problem that `error` is; where it failed an append, `outcome` is said too. */
export function sendProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  outcome?: Outcome,
): void {
  let failure = toStoreError(error)
  if (isBadName(error, request)) {
    failure = new StoreError('invalid_stream_name', 'the name is not valid percent-encoded UTF-8')
  }
  if (outcome !== undefined && failure.fields.outcome === undefined) {
    failure = failure.withOutcome(outcome)
  }
  const { status } = ERRORS[failure.code]
  if (failure.code === 'internal' || failure.code === 'corrupt_record') {
    request.log.error({ err: failure.cause ?? failure, code: failure.code }, 'a request failed')
  }
  if (status === 429 || status === 503) reply.header('retry-after', RETRY_AFTER_SECONDS)
  // The rest of its body is read and thrown away, so that the client gets to read this.
  if (failure.code === 'overloaded') reply.removeHeader('connection')
  // As bytes, or Fastify would add a charset, which the type does not have.
  const body = Buffer.from(JSON.stringify(toProblem(failure)))
  reply.code(status).header('content-type', PROBLEM_TYPE).send(body)
}

function isBadName(error: unknown, request: FastifyRequest): boolean {
  const { code } = error as Partial<FastifyError>
  return code === 'FST_ERR_BAD_URL' && request.raw.url?.startsWith('/v1/streams/') === true
}

/** What is wrong with the bytes of a connection: HTTP that is not valid, or came too slowly. */
export type Malformed = {
  readonly status: number
  readonly phrase: string
  readonly failure: StoreError
}

export function toMalformed({ code = '' }: { readonly code?: string }): Malformed {
  const [status, phrase, errorCode, detail] = MALFORMED[code] ?? NOT_HTTP
  return { status, phrase, failure: new StoreError(errorCode, detail) }
}

/** Writes the last answer of a connection, past a parser that gave up, and ends its own side. */
export function endWithProblem(socket: Socket, { status, phrase, failure }: Malformed): void {
  const body = JSON.stringify({ ...toProblem(failure), status })
  socket.end(
    `HTTP/1.1 ${status} ${phrase}\r\nContent-Type: ${PROBLEM_TYPE}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}

type MalformedRow = readonly [status: number, phrase: string, code: ErrorCode, detail: string]

const NOT_HTTP: MalformedRow = [
  400,
  'Bad Request',
  'invalid_request',
  'the request is not valid HTTP/1.1',
]

/** Statuses that HTTP has for failures before a request is whole. */
const MALFORMED: Readonly<Record<string, MalformedRow>> = {
  ERR_HTTP_REQUEST_TIMEOUT: [
    408,
    'Request Timeout',
    'request_timeout',
    'the request took too long to arrive',
  ],
  HPE_HEADER_OVERFLOW: [
    431,
    'Request Header Fields Too Large',
    'invalid_request',
    'the headers are too large',
  ],
}

/** A CONNECT: Node gives the connection away, and this service is no proxy. */
export function refuseTunnel(socket: Socket): void {
  const failure = new StoreError('method_not_allowed', 'CONNECT is not served')
  socket.on('error', () => socket.destroy())
  endWithProblem(socket, { status: 405, phrase: 'Method Not Allowed', failure })
  socket.destroySoon()
}

/** An expectation that is not `100-continue`: the body was not read. */
export function refuseExpectation(_request: IncomingMessage, response: ServerResponse): void {
  const failure = new StoreError('expectation_failed', 'only Expect: 100-continue is understood')
  const body = JSON.stringify(toProblem(failure))
  response.writeHead(417, { 'content-type': PROBLEM_TYPE, connection: 'close' }).end(body)
}
