import { isUtf8 } from 'node:buffer'
import { ERRORS, StoreError } from '../../shared/errors.ts'
import {
  encodeSessionAnswer,
  SESSION_ANSWER_BYTES,
  SessionOutcome,
} from '../../shared/format/session-answer.ts'
import {
  decodeSessionRequest,
  hasSessionId,
  readSessionId,
  SESSION_REQUEST_HEADER_BYTES,
  wantsSessionProblem,
} from '../../shared/format/session-request.ts'
import { checkStreamName } from '../../shared/format/stream-name.ts'
import type { AppendResult } from '../../shared/protocol/streams.ts'
import { SessionMessage } from '../../shared/schemas/session.ts'
import type { AppendAnswers } from '../http/append-answer.ts'
import { checkBatchBody, encodeJsonRecords } from '../http/append-body.ts'
import { toProblem } from '../http/failures.ts'
import type { AppendLimits } from '../http/http-config.ts'
import type { AppendRequest } from '../store.ts'
import { numberAsWritten } from './number-as-written.ts'

// Messages of the append session (api.md) → appends, and what became of them → answers, JSON in
// text for JSON in text, bytes for bytes. Every failure here is one before anything was applied.

/** How the answer is to look. */
export type Asker =
  /** `id` as JSON text: `null` where the message has none that can be used. */
  | { readonly isBinary: false; readonly id: string }
  | { readonly isBinary: true; readonly id: number; readonly wantsProblem: boolean }

export type Decoded = { readonly asker: Asker; readonly append: AppendRequest | StoreError }

const NO_ID = { isBinary: false, id: 'null' } as const

/** @param message valid UTF-8 */
export function decodeText(message: Buffer, limits: AppendLimits): Decoded {
  const text = message.utf8Slice()
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return { asker: NO_ID, append: refused('the message is not valid JSON') }
  }
  const id = idOf(parsed, text)
  if (id === undefined) {
    const detail = 'the message is not an object with an id that is a string or a number'
    return { asker: NO_ID, append: refused(detail) }
  }
  return { asker: { isBinary: false, id }, append: attempt(() => readText(parsed, limits)) }
}

/** Undefined for a message that is too short to have an id. */
export function decodeBinary(message: Buffer, limits: AppendLimits): Decoded | undefined {
  if (!hasSessionId(message)) return undefined
  const wantsProblem = wantsSessionProblem(message)
  const asker = { isBinary: true, id: readSessionId(message), wantsProblem } as const
  return { asker, append: attempt(() => readBinary(message, limits)) }
}

export function encodeResult(
  asker: Asker,
  { stream, count }: AppendRequest,
  result: AppendResult,
  answers: AppendAnswers,
): string | Buffer {
  if (!asker.isBinary) return `{"id":${asker.id},"ok":${answers.render(stream, count, result)}}`
  const { firstOffset, nextOffset } = result
  return encodeSessionAnswer({ id: asker.id, status: 200, firstOffset, nextOffset })
}

/** @param failure with its outcome */
export function encodeFailure(asker: Asker, failure: StoreError): string | Buffer {
  const problem = JSON.stringify(toProblem(failure))
  if (!asker.isBinary) return `{"id":${asker.id},"error":${problem}}`
  const { outcome, nextOffset } = failure.fields
  const answer = {
    id: asker.id,
    status: ERRORS[failure.code].status,
    firstOffset: outcome === 'unknown' ? SessionOutcome.unknown : SessionOutcome.not_applied,
    nextOffset: failure.code === 'offset_mismatch' ? Number(nextOffset ?? 0) : 0,
  }
  if (!asker.wantsProblem) return encodeSessionAnswer(answer)
  const bytes = encodeSessionAnswer(answer, Buffer.byteLength(problem))
  bytes.utf8Write(problem, SESSION_ANSWER_BYTES)
  return bytes
}

function attempt(read: () => AppendRequest): AppendRequest | StoreError {
  try {
    return read()
  } catch (error) {
    if (error instanceof StoreError) return error.withOutcome('not_applied')
    throw error
  }
}

function idOf(parsed: unknown, text: string): string | undefined {
  if (typeof parsed !== 'object' || parsed === null || !Object.hasOwn(parsed, 'id')) {
    return undefined
  }
  const { id } = parsed as { readonly id: unknown }
  if (typeof id === 'string') return JSON.stringify(id)
  if (typeof id !== 'number') return undefined
  return Number.isSafeInteger(id) && !Object.is(id, -0) ? String(id) : numberAsWritten(text, 'id')
}

function readText(parsed: unknown, limits: AppendLimits): AppendRequest {
  const message = SessionMessage.safeParse(parsed)
  if (!message.success) {
    const faults = message.error.issues.map(issue => `${issue.path.join('.')} ${issue.message}`)
    throw refused(`the message: ${faults.map(fault => fault.trim()).join('; ')}`)
  }
  const { stream, expectedOffset, durability, producer, records } = message.data
  return {
    stream: checkStreamName(stream),
    ...encodeJsonRecords(records, limits),
    ...(expectedOffset === undefined ? {} : { expectedOffset }),
    ...(durability === undefined ? {} : { durability }),
    ...(producer === undefined ? {} : { producer }),
  }
}

/** The batch stays a slice of what the socket read: src/main/shards/turn.ts copies it. */
function readBinary(message: Buffer, limits: AppendLimits): AppendRequest {
  const { nameEnd, batchAt, expectedOffset, durability, producer } = decodeSessionRequest(message)
  return {
    stream: readName(message, nameEnd),
    ...checkBatchBody(message.subarray(batchAt), limits),
    ...(expectedOffset === undefined ? {} : { expectedOffset }),
    ...(durability === undefined ? {} : { durability }),
    ...(producer === undefined ? {} : { producer }),
  }
}

function readName(message: Buffer, end: number): string {
  if (!isUtf8(message.subarray(SESSION_REQUEST_HEADER_BYTES, end))) {
    throw new StoreError('invalid_stream_name', 'the stream name is not valid UTF-8')
  }
  return checkStreamName(message.utf8Slice(SESSION_REQUEST_HEADER_BYTES, end))
}

function refused(detail: string): StoreError {
  return new StoreError('invalid_request', detail, { outcome: 'not_applied' })
}
