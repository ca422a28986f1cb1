import { check } from 'k6'
import http from 'k6/http'
import { makeOptions, stages, URL, VUS } from './lib/settings.js'
import { append, isDense, newRun, read, recordsRead } from './lib/varve.js'

// Reads of a stream that was filled before: pages in both directions and all formats, single
// records. Every record says which one it is, so what comes back is held against what went in.

export { handleSummary } from './lib/summary.js'

export const options = makeOptions(
  { reads: { executor: 'ramping-vus', exec: 'readSome', stages: stages(VUS) } },
  { 'http_req_duration{name:read}': ['p(99)>=0'] },
)

const RECORDS = 20000
const PER_APPEND = 1000
const PAGE = 200
const PADDING = 'varve '.repeat(16)

export function setup() {
  const stream = newRun('read')
  for (let first = 0; first < RECORDS; first += PER_APPEND) {
    const values = []
    for (let number = first; number < first + PER_APPEND; number += 1) {
      values.push({ number, padding: PADDING })
    }
    append(stream, values, { expectedOffset: first })
  }
  return { stream }
}

const WAYS = [readForward, readBackward, readLines, readBatch, readOne, readEnd]

export function readSome({ stream }) {
  WAYS[Math.floor(Math.random() * WAYS.length)](stream, Math.floor(Math.random() * RECORDS))
}

function readForward(stream, from) {
  const page = read(stream, { from, limit: PAGE })
  check(page, {
    'forward: what was appended': p => p !== null && isAsAppended(p.records, from, 1),
    'forward: a full page': p =>
      p !== null && p.records.length === Math.min(PAGE, RECORDS - from) && p.firstOffset === from,
    'forward: goes on behind it': p => p !== null && p.nextOffset === from + p.records.length,
  })
}

function readBackward(stream, from) {
  const page = read(stream, { from, limit: PAGE, direction: 'backward' })
  check(page, {
    'backward: what was appended': p => p !== null && isAsAppended(p.records, from - 1, -1),
    'backward: a full page': p => p !== null && p.records.length === Math.min(PAGE, from),
    'backward: goes on below it': p => p !== null && p.nextOffset === from - p.records.length,
  })
}

function readLines(stream, from) {
  const response = get(stream, from, 'application/x-ndjson')
  check(response, {
    'ndjson: what was appended': r => {
      const lines = r.body.split('\n').filter(line => line !== '')
      recordsRead.add(lines.length)
      return isAsAppended(
        lines.map(line => JSON.parse(line)),
        from,
        1,
      )
    },
  })
}

function readBatch(stream, from) {
  const response = get(stream, from, 'application/vnd.varve.batch', 'binary')
  check(response, {
    'batch: starts where asked': r => Number(r.headers['Varve-First-Offset']) === from,
    'batch: what was appended': r => {
      const bodies = decodeBatch(r.body)
      recordsRead.add(bodies.length)
      return bodies.every((body, index) => JSON.parse(body).number === from + index)
    },
  })
}

function readOne(stream, offset) {
  const url = `${URL}/v1/streams/${encodeURIComponent(stream)}/records/${offset}`
  const response = http.get(url, { tags: { name: 'read' } })
  check(response, {
    'one record: what was appended': r => r.status === 200 && isAsAppended([r.json()], offset, 1),
  })
}

function readEnd(stream) {
  const page = read(stream, { from: 'end' })
  check(page, {
    'end: empty': p => p !== null && p.records.length === 0 && p.nextOffset === RECORDS,
  })
}

function get(stream, from, accept, responseType) {
  const path = `/v1/streams/${encodeURIComponent(stream)}/records?from=${from}&limit=${PAGE}`
  const response = http.get(URL + path, {
    headers: { Accept: accept },
    tags: { name: 'read' },
    responseType: responseType || 'text',
  })
  check(response, {
    'formats: 200': r => r.status === 200,
    'formats: the type asked for': r => String(r.headers['Content-Type']).indexOf(accept) === 0,
    'formats: the header has the next offset': r =>
      Number(r.headers['Varve-Next-Offset']) === Math.min(RECORDS, from + PAGE),
  })
  return response
}

function isAsAppended(records, from, step) {
  return (
    isDense(records, from, step) &&
    records.every(({ offset, data }) => data.number === offset && data.padding === PADDING)
  )
}

/** The bodies, as ASCII, of u32 bodyLength, u16 headersLength, u16 format, headers, body. */
function decodeBatch(buffer) {
  const view = new DataView(buffer)
  const bytes = new Uint8Array(buffer)
  const bodies = []
  for (let at = 0; at < bytes.length; ) {
    const start = at + 8 + view.getUint16(at + 4, true)
    const end = start + view.getUint32(at, true)
    bodies.push(String.fromCharCode.apply(null, bytes.subarray(start, end)))
    at = end
  }
  return bodies
}
