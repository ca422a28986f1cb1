// biome-ignore format: a table of codes is read by column
/** Every failure a caller can receive. Codes are never reused; a test holds api.md's list against it. */
export const ERRORS = {
  invalid_request:        { status: 400, retryable: false, title: 'The request is not valid' },
  invalid_stream_name:    { status: 400, retryable: false, title: 'The stream name is not valid' },
  unauthorized:           { status: 401, retryable: false, title: 'A valid token is required' },
  forbidden:              { status: 403, retryable: false, title: 'This is not allowed' },
  producer_fenced:        { status: 403, retryable: false, title: 'A newer epoch of this producer is active' },
  stream_not_found:       { status: 404, retryable: false, title: 'The stream does not exist' },
  record_not_found:       { status: 404, retryable: false, title: 'The stream has no record at this offset' },
  not_found:              { status: 404, retryable: false, title: 'Nothing is served at this address' },
  method_not_allowed:     { status: 405, retryable: false, title: 'The method is not allowed here' },
  not_acceptable:         { status: 406, retryable: false, title: 'None of the accepted media types can be served' },
  request_timeout:        { status: 408, retryable: true,  title: 'The request took too long to arrive' },
  stream_exists:          { status: 409, retryable: false, title: 'The stream exists with another configuration' },
  stream_closed:          { status: 409, retryable: false, title: 'The stream is closed' },
  producer_gap:           { status: 409, retryable: false, title: 'The producer skipped a sequence number' },
  history_mismatch:       { status: 409, retryable: false, title: 'The history of the stream is another one' },
  trimmed:                { status: 410, retryable: false, title: 'The records were trimmed' },
  stream_deleted:         { status: 410, retryable: false, title: 'The stream was deleted' },
  offset_mismatch:        { status: 412, retryable: false, title: 'The stream is not at the expected offset' },
  record_too_large:       { status: 413, retryable: false, title: 'A record is too large' },
  body_too_large:         { status: 413, retryable: false, title: 'The request body is too large' },
  unsupported_media_type: { status: 415, retryable: false, title: 'The media type is not supported' },
  beyond_end:             { status: 416, retryable: false, title: 'The offset is beyond the end of the stream' },
  expectation_failed:     { status: 417, retryable: false, title: 'The expectation is not met' },
  misdirected:            { status: 421, retryable: false, title: 'The service has another name' },
  too_many_requests:      { status: 429, retryable: true,  title: 'Too many requests' },
  internal:               { status: 500, retryable: false, title: 'An internal error' },
  corrupt_record:         { status: 500, retryable: false, title: 'Stored records are damaged' },
  codec_unavailable:      { status: 500, retryable: false, title: 'The records need another Node to be read' },
  overloaded:             { status: 503, retryable: true,  title: 'The service is at its limit' },
  shard_failed:           { status: 503, retryable: true,  title: 'The shard stopped after a failure' },
  stream_unwritable:      { status: 503, retryable: true,  title: 'The stream cannot be written now' },
  shutting_down:          { status: 503, retryable: true,  title: 'The service is shutting down' },
  disk_full:              { status: 507, retryable: true,  title: 'The disk is full' },
} as const

export type ErrorCode = keyof typeof ERRORS

/** What became of a failed append: nothing of it is stored, or a storage failure left it open. */
export type Outcome = 'not_applied' | 'unknown'

/**
 * Members of the problem document that a code carries beside the common ones, e.g. `nextOffset`.
 */
export type ErrorFields = Readonly<Record<string, string | number | boolean>>

/**
 * A `StoreError` as it crosses a thread boundary; structured clone would drop its class and fields.
 */
export type PlainError = {
  readonly code: ErrorCode
  readonly detail: string
  readonly fields: ErrorFields
}

/** An expected failure. Its code, detail and fields reach the caller; its cause only the log. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: ErrorCode
  readonly fields: ErrorFields

  constructor(code: ErrorCode, detail: string, fields: ErrorFields = {}, cause?: unknown) {
    super(detail, cause === undefined ? undefined : { cause })
    this.code = code
    this.fields = fields
  }

  /** The same failure, saying what became of the append that met it. */
  withOutcome(outcome: Outcome): StoreError {
    return new StoreError(this.code, this.message, { ...this.fields, outcome }, this.cause)
  }

  toPlain(): PlainError {
    return { code: this.code, detail: this.message, fields: this.fields }
  }

  static fromPlain(plain: PlainError): StoreError {
    return new StoreError(plain.code, plain.detail, plain.fields)
  }
}
