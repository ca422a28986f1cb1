import { check } from 'k6'
import http from 'k6/http'
import ws from 'k6/ws'
import { Counter } from 'k6/metrics'
import { URL, WEBSOCKET_URL } from './settings.js'

// The service as the scripts know it. Each call checks what the contract promises of its answer,
// and returns the answer, or null when it is not one to go on with.

const recordsAppended = new Counter('varve_records_appended')
export const recordsRead = new Counter('varve_records_read')

/** Prefix of the names of all streams of a run, so that runs on one server do not meet. */
export function newRun(script) {
  return `k6.${script}.${Date.now().toString(36)}`
}

/** Appends JSON values as NDJSON. @param query may hold expectedOffset and durability */
export function append(stream, values, query) {
  const body = values.map(value => JSON.stringify(value)).join('\n')
  const response = http.post(recordsUrl(stream, query), body, {
    headers: { 'Content-Type': 'application/x-ndjson' },
    tags: { name: 'append' },
  })
  const answer = response.status === 200 ? response.json() : null
  check(response, {
    'append: 200': () => answer !== null,
    'append: as many as were sent': () => answer !== null && answer.count === values.length,
    'append: offsets are dense': () =>
      answer !== null && answer.nextOffset === answer.firstOffset + values.length,
    'append: durable': () => answer !== null && answer.durable === true,
    'append: has a chain head': () => answer !== null && /^[0-9a-f]{64}$/.test(answer.chainHead),
  })
  if (answer !== null) recordsAppended.add(values.length)
  return answer
}

/** One page as JSON. @param query as of api.md, Read */
export function read(stream, query) {
  const response = http.get(recordsUrl(stream, query), { tags: { name: 'read' } })
  const page = response.status === 200 ? response.json() : null
  check(response, {
    'read: 200': () => page !== null,
    'read: the header has the next offset': () =>
      page !== null && Number(response.headers['Varve-Next-Offset']) === page.nextOffset,
  })
  if (page !== null) recordsRead.add(page.records.length)
  return page
}

/** Whether `records` have the offsets `from`, `from + step`, and so on. */
export function isDense(records, from, step) {
  return records.every((record, index) => record.offset === from + index * step)
}

/**
 * Every record of a stream, page by page.
 * @returns how many there are, or -1 when the offsets have a gap
 */
export function readAll(stream, onRecord) {
  let offset = 0
  for (;;) {
    const page = read(stream, { from: offset, limit: 10000, maxBytes: 8 * 1024 * 1024 })
    if (page === null || !isDense(page.records, offset, 1)) return -1
    for (const record of page.records) onRecord(record)
    offset += page.records.length
    if (offset !== page.nextOffset) return -1
    if (offset >= page.tailOffset) return offset
    if (page.records.length === 0) return -1
  }
}

export function streamInfo(stream) {
  const response = http.get(streamUrl(stream), { tags: { name: 'info' } })
  check(response, { 'info: 200': r => r.status === 200 })
  return response.status === 200 ? response.json() : null
}

export function createStream(stream) {
  const response = http.put(streamUrl(stream), '{}', {
    headers: { 'Content-Type': 'application/json' },
    tags: { name: 'create' },
  })
  check(response, { 'create: 201': r => r.status === 201 })
}

export function closeStream(stream) {
  const response = http.post(`${streamUrl(stream)}/close`, null, { tags: { name: 'close' } })
  check(response, { 'close: 200': r => r.status === 200 && r.json().state === 'closed' })
}

/** The service's own check of the hash chain, from the first record on. */
export function verifyStream(stream, records) {
  const response = http.get(`${streamUrl(stream)}/verify`, {
    tags: { name: 'verify' },
    timeout: '120s',
  })
  const report = response.status === 200 ? response.json() : null
  check(response, {
    'verify: the chain holds': () => report !== null && report.ok === true,
    'verify: all records': () => report !== null && report.verifiedRecords === records,
  })
}

/** Names of the streams of a run, with where they end. */
export function listStreams(run) {
  const found = []
  let after = ''
  for (;;) {
    const query = { prefix: run, after, limit: 1000 }
    const response = http.get(`${URL}/v1/streams?${encode(query)}`, { tags: { name: 'list' } })
    check(response, { 'list: 200': r => r.status === 200 })
    if (response.status !== 200) return found
    const page = response.json()
    for (const info of page.streams) found.push(info)
    if (page.next === null) return found
    after = page.next
  }
}

/**
 * Follows a stream over a WebSocket and checks that offsets are dense.
 * @param until.closed end with the stream
 * @param until.ms end after so long
 * @param onRecords called with the records of a message
 * @returns the offset reached
 */
export function tail(stream, from, until, onRecords) {
  let expected = from
  let isDenseSoFar = true
  let hasEnded = false
  const url = `${WEBSOCKET_URL}/v1/streams/${encodeURIComponent(stream)}/tail?from=${from}`
  const response = ws.connect(url, { tags: { name: 'tail' } }, socket => {
    socket.on('message', text => {
      const message = JSON.parse(text)
      if (message.type === 'records') {
        const { records, firstOffset, nextOffset } = message
        const isNext = firstOffset === expected && nextOffset === expected + records.length
        isDenseSoFar = isDenseSoFar && isNext && isDense(records, expected, 1)
        expected = nextOffset
        recordsRead.add(records.length)
        onRecords(records)
      } else if (message.type === 'closed') {
        hasEnded = until.closed === true && message.nextOffset === expected
        socket.close()
      }
    })
    socket.setTimeout(() => {
      hasEnded = until.closed !== true
      socket.close()
    }, until.ms)
  })
  check(response, {
    'tail: 101': r => r.status === 101,
    'tail: offsets are dense': () => isDenseSoFar,
    'tail: ends as it must': () => hasEnded,
  })
  return expected
}

function streamUrl(stream) {
  return `${URL}/v1/streams/${encodeURIComponent(stream)}`
}

function recordsUrl(stream, query) {
  const text = encode(query || {})
  return `${streamUrl(stream)}/records${text === '' ? '' : `?${text}`}`
}

function encode(query) {
  return Object.keys(query)
    .map(name => `${name}=${encodeURIComponent(query[name])}`)
    .join('&')
}
