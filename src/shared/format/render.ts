import type { ReadPlan } from '../protocol/shard.ts'
import type { ReadEncoding, ReadPage, ReadRequest, ReadVerify } from '../protocol/streams.ts'
import { BATCH_ITEM_HEADER_BYTES, encodeBatchItemHeader } from './batch.ts'
import { latin1ToHex } from './bytes.ts'
import type { LinkedRecord, LocatedRecord, PageSelection } from './read-page.ts'
import { RecordFormat } from './record.ts'

// Stored records → the encodings of api.md. JSON bodies go out as the bytes that came in: no number
// loses a digit, no key its place. Bytes are copied from buffer to buffer; only the short text
// around them and text bodies, which need escapes, pass through strings.

/** Room for what surrounds headers and body in the longest encoding: 330 at most. */
const ENVELOPE_BYTES = 384
const LINE_FEED = 10
const CARRIAGE_RETURN = 13
const SPACE = 32
const COMMA = 44

/**
 * Records back to back in an encoding; what surrounds them (a JSON envelope) is the caller's.
 * `json`: record objects, a comma between them. `ndjson`: one a line. `sse`: one event each, its
 * id the cursor behind it. `batch`: the batch encoding. Hashes are shown with `verify` checkpoint
 * and genesis.
 */
export function renderRecords(
  records: readonly (LocatedRecord | LinkedRecord)[],
  { encoding, verify }: { readonly encoding: ReadEncoding; readonly verify: ReadVerify },
): Buffer {
  if (encoding === 'batch') return renderBatch(records)
  const showHash = verify === 'checkpoint' || verify === 'genesis'
  const target = new Target(records)
  for (const located of records) {
    target.ensure(sizeMax(located))
    if (encoding === 'json' && target.at > 0) target.writeByte(COMMA)
    if (encoding === 'sse') target.writeLatin1(`id: ${eventId(located)}\ndata: `)
    const start = target.at
    writeRecord(target, located, showHash)
    // A line break in JSON text can only be white space between tokens: strings have it escaped.
    if (encoding !== 'json') target.joinLines(start)
    if (encoding === 'ndjson') target.writeByte(LINE_FEED)
    if (encoding === 'sse') target.writeLatin1('\n\n')
  }
  return target.finish()
}

/** Returns the page that a read comes to. */
export function pageOf(
  plan: ReadPlan,
  { records, firstOffset, nextOffset }: PageSelection,
  request: ReadRequest,
  proof: Pick<ReadPage, 'lastHash' | 'unvouched' | 'signedThrough'>,
): ReadPage {
  return {
    firstOffset,
    nextOffset,
    closed: plan.closed,
    streamId: latin1ToHex(plan.streamId),
    count: records.length,
    payload: renderRecords(records, request),
    ...(plan.isEndUnknown === true ? undefined : { tailOffset: plan.nextOffset }),
    ...proof,
  }
}

/** RFC 3339 UTC with milliseconds, of µs since 1970. */
export function formatTime(micros: number): string {
  return new Date(Math.floor(micros / 1000)).toISOString()
}

/** `{offset, timestamp, headers?, data | text | base64, hash?}` */
function writeRecord(
  target: Target,
  located: LocatedRecord | LinkedRecord,
  showHash: boolean,
): void {
  const { bytes, record } = located
  const { headersAt, bodyAt, bodyEnd } = record
  const opening = `{"offset":${record.offset},"timestamp":"${target.timeOf(record.timestamp)}"`
  if (bodyAt > headersAt) {
    target.writeLatin1(`${opening},"headers":`)
    target.copy(bytes, headersAt, bodyAt)
    target.writeLatin1(BODY_KEYS[record.format])
  } else {
    target.writeLatin1(opening + BODY_KEYS[record.format])
  }
  switch (record.format) {
    case RecordFormat.Json:
      target.copy(bytes, bodyAt, bodyEnd)
      break
    case RecordFormat.Text:
      target.writeUtf8(JSON.stringify(bytes.utf8Slice(bodyAt, bodyEnd)))
      break
    case RecordFormat.Binary:
      target.writeLatin1(`"${bytes.toString('base64', bodyAt, bodyEnd)}"`)
      break
  }
  const hash = showHash && 'hash' in located ? `,"hash":"${latin1ToHex(located.hash)}"` : ''
  target.writeLatin1(`${hash}}`)
}

/** The cursor behind a record: `<nextOffset>.<lastHash>`. */
function eventId(located: LocatedRecord | LinkedRecord): string {
  const nextOffset = located.record.offset + 1
  return 'hash' in located ? `${nextOffset}.${latin1ToHex(located.hash)}` : `${nextOffset}`
}

const BODY_KEYS = {
  [RecordFormat.Binary]: ',"base64":',
  [RecordFormat.Json]: ',"data":',
  [RecordFormat.Text]: ',"text":',
} as const

/** Bytes that a record takes at most, a text body's escapes aside. */
function sizeMax({ record }: LocatedRecord): number {
  const content = record.bodyEnd - record.headersAt
  return ENVELOPE_BYTES + (record.format === RecordFormat.Binary ? content * 1.4 : content)
}

/** A buffer that grows, and what one rendering remembers from record to record. */
class Target {
  #bytes: Buffer
  #timeMs = -1
  #time = ''
  at = 0

  constructor(records: readonly LocatedRecord[]) {
    let size = 0
    for (const located of records) size += sizeMax(located)
    this.#bytes = Buffer.allocUnsafe(Math.ceil(size))
  }

  ensure(more: number): void {
    if (this.at + more <= this.#bytes.length) return
    const grown = Buffer.allocUnsafe(Math.ceil((this.at + more) * 1.5))
    this.#bytes.copy(grown, 0, 0, this.at)
    this.#bytes = grown
  }

  writeByte(value: number): void {
    this.#bytes[this.at] = value
    this.at += 1
  }

  writeLatin1(text: string): void {
    this.at += this.#bytes.latin1Write(text, this.at)
  }

  writeUtf8(text: string): void {
    this.ensure(text.length * 3 + ENVELOPE_BYTES)
    this.at += this.#bytes.utf8Write(text, this.at)
  }

  copy(source: Buffer, start: number, end: number): void {
    this.at += source.copy(this.#bytes, this.at, start, end)
  }

  joinLines(start: number): void {
    const bytes = this.#bytes
    for (let at = start; at < this.at; at += 1) {
      if (bytes[at] === LINE_FEED || bytes[at] === CARRIAGE_RETURN) bytes[at] = SPACE
    }
  }

  /** The records of a batch share their time, so the last one answers most calls. */
  timeOf(micros: number): string {
    const milliseconds = Math.floor(micros / 1000)
    if (milliseconds !== this.#timeMs) {
      this.#timeMs = milliseconds
      this.#time = formatTime(micros)
    }
    return this.#time
  }

  finish(): Buffer {
    return this.#bytes.subarray(0, this.at)
  }
}

function renderBatch(records: readonly LocatedRecord[]): Buffer {
  let length = 0
  for (const { record } of records) {
    length += BATCH_ITEM_HEADER_BYTES + record.bodyEnd - record.headersAt
  }
  const target = Buffer.allocUnsafe(length)
  let at = 0
  for (const { bytes, record } of records) {
    const { format, headersAt, bodyAt, bodyEnd } = record
    at = encodeBatchItemHeader(target, at, format, bodyAt - headersAt, bodyEnd - bodyAt)
    at += bytes.copy(target, at, headersAt, bodyEnd)
  }
  return target
}
