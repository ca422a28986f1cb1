import { check, sleep } from 'k6'
import exec from 'k6/execution'
import { Trend } from 'k6/metrics'
import { GRACE_SECONDS, makeOptions, SECONDS, share, VUS } from './lib/settings.js'
import {
  append,
  closeStream,
  createStream,
  newRun,
  readAll,
  streamInfo,
  tail,
} from './lib/varve.js'
import { Ledger, Writer } from './lib/writers.js'

// Subscribers follow one stream while writers append to it; then the stream is closed, which ends
// them. Each has to see every acknowledged record once, at the offset that its writer was told.

export { handleSummary } from './lib/summary.js'

/** Appends a second of one writer. */
const RATE = Number(__ENV.RATE || 20)
/** Longest 99th percentile from sending a record to seeing it in a tail. */
const TAIL_P99_MS = Number(__ENV.TAIL_P99_MS || 1000)
const WRITERS = share(0.1)

const latency = new Trend('varve_tail_latency_ms')

export const options = makeOptions(
  {
    subscribers: {
      executor: 'per-vu-iterations',
      exec: 'subscribe',
      vus: VUS,
      iterations: 1,
      maxDuration: `${SECONDS + 3 * GRACE_SECONDS}s`,
    },
    writers: {
      executor: 'constant-vus',
      exec: 'write',
      vus: WRITERS,
      startTime: '1s',
      duration: `${SECONDS}s`,
      gracefulStop: `${GRACE_SECONDS}s`,
    },
    closer: {
      executor: 'shared-iterations',
      exec: 'close',
      vus: 1,
      iterations: 1,
      startTime: `${SECONDS + GRACE_SECONDS + 2}s`,
      maxDuration: `${GRACE_SECONDS}s`,
    },
  },
  { varve_tail_latency_ms: [`p(99)<${TAIL_P99_MS}`] },
)

let writer

export function setup() {
  const stream = newRun('tail')
  createStream(stream)
  return { stream }
}

export function subscribe({ stream }) {
  const ledger = new Ledger()
  const until = { closed: true, ms: (SECONDS + 2 * GRACE_SECONDS) * 1000 }
  const reached = tail(stream, 0, until, records => {
    const nowMs = Date.now()
    for (const record of records) {
      ledger.add(record)
      latency.add(nowMs - record.data.sentMs)
    }
  })
  check(ledger, {
    'tailed: each acknowledged record once, at its offset': l => l.isRight,
    'tailed: records of every writer': l => Object.keys(l.writers).length === WRITERS,
  })
  const info = streamInfo(stream)
  check(info, { 'tailed: to the very end': i => i !== null && i.nextOffset === reached })
}

export function write({ stream }) {
  if (writer === undefined) writer = new Writer(`vu-${exec.vu.idInTest}`)
  const answer = append(stream, writer.next(1))
  if (answer !== null) writer.acknowledge(answer, 1)
  sleep(1 / RATE)
}

export function close({ stream }) {
  closeStream(stream)
}

export function teardown({ stream }) {
  const ledger = new Ledger()
  const info = streamInfo(stream)
  const records = readAll(stream, record => ledger.add(record))
  check(ledger, {
    'read back: dense, to the end': () => info !== null && records === info.nextOffset,
    'read back: each acknowledged record once, at its offset': l => l.isRight,
  })
}
