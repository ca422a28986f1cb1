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
import { SessionFields } from '../../shared/schemas/session.ts'
import type { AppendAnswers } from '../http/append-answer.ts'
import { checkBatchBody } from '../http/append-body.ts'
import { toProblem } from '../http/failures.ts'
import type { AppendLimits } from '../http/http-config.ts'
import {
  checkMembers,
  type JsonMembers,
  readerOf,
  readJsonObject,
  valuesOf,
} from '../http/json-envelope.ts'
import { encodeJsonRecords } from '../http/json-records.ts'
import type { AppendRequest } from '../store.ts'

// Messages of the append session (api.md) → appends, and what became of them → answers, JSON in
// text for JSON in text, bytes for bytes. Every failure here is one before anything was applied.

/** How the answer is to look. */
export type Asker =
  /** `id` as JSON text: `null` where the message has none that can be used. */
  | { readonly isBinary: false; readonly id: string }
  | { readonly isBinary: true; readonly id: number; readonly wantsProblem: boolean }

export type Decoded = { readonly asker: Asker; readonly append: AppendRequest | StoreError }

const NO_ID = { isBinary: false, id: 'null' } as const
const STRING_OR_NUMBER = /^["\d-]/
const FIELDS = Object.keys(SessionFields.shape)

/** @param message valid UTF-8 */
export function decodeText(message: Buffer, limits: AppendLimits): Decoded {
  let members: JsonMembers
  try {
    members = readJsonObject(message, 'the message', 'an object')
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    return { asker: NO_ID, append: error.withOutcome('not_applied') }
  }
  const id = idOf(message, members)
  if (id === undefined) {
    const detail = 'the message is not an object with an id that is a string or a number'
    return { asker: NO_ID, append: refused(detail) }
  }
  const append = attempt(() => readText(message, members, limits))
  return { asker: { isBinary: false, id }, append }
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

/** The id as it is written, which comes back in the answer; undefined where it cannot. */
function idOf(message: Buffer, members: JsonMembers): string | undefined {
  const range = members.get('id')
  if (range === undefined) return undefined
  const text = message.utf8Slice(range.start, range.end)
  return STRING_OR_NUMBER.test(text) ? text : undefined
}

function readText(message: Buffer, members: JsonMembers, limits: AppendLimits): AppendRequest {
  checkMembers(members, [...FIELDS, 'id', 'records'], 'the message')
  const fields = SessionFields.safeParse(valuesOf(message, members, FIELDS))
  if (!fields.success) {
    const faults = fields.error.issues.map(issue => `${issue.path.join('.')} ${issue.message}`)
    throw refused(`the message: ${faults.map(fault => fault.trim()).join('; ')}`)
  }
  const { stream, expectedOffset, durability, producer } = fields.data
  const records = readerOf(message, 'the message', members.get('records'))
  return {
    stream: checkStreamName(stream),
    ...encodeJsonRecords(message, records, limits),
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
