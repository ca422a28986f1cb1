import { check, sleep } from 'k6'
import exec from 'k6/execution'
import { GRACE_SECONDS, makeOptions, SECONDS, share, stages } from './lib/settings.js'
import {
  append,
  createStream,
  isDense,
  listStreams,
  newRun,
  read,
  readAll,
  streamInfo,
  tail,
  verifyStream,
} from './lib/varve.js'
import { Ledger, Writer } from './lib/writers.js'

// What a service sees in a day, in small: appends to streams of their own and to one that all
// share, reads of what is new and of what is old, tails that come and go.

export { handleSummary } from './lib/summary.js'

export const options = makeOptions(
  {
    appends: { executor: 'ramping-vus', exec: 'appendSome', stages: stages(share(0.5)) },
    reads: {
      executor: 'constant-vus',
      exec: 'readSome',
      vus: share(0.25),
      duration: `${SECONDS}s`,
    },
    tails: {
      executor: 'constant-vus',
      exec: 'tailSome',
      vus: share(0.25),
      duration: `${SECONDS}s`,
      gracefulStop: `${GRACE_SECONDS}s`,
    },
  },
  {
    'http_req_duration{name:append}': ['p(99)>=0'],
    'http_req_duration{name:read}': ['p(99)>=0'],
  },
)

const READ_BACK_MAX = 10
const TAIL_MS = 2000
const writers = {}

export function setup() {
  const run = newRun('mixed')
  createStream(`${run}.shared`)
  return { run }
}

export function appendSome({ run }) {
  const isOwn = Math.random() < 0.5
  const stream = isOwn ? `${run}.vu.${exec.vu.idInTest}` : `${run}.shared`
  if (writers[stream] === undefined) writers[stream] = new Writer(`vu-${exec.vu.idInTest}`)
  const writer = writers[stream]
  const count = Math.random() < 0.1 ? 50 : 1
  const answer = append(stream, writer.next(count))
  check(answer, {
    'append: behind the last one': a =>
      a !== null &&
      (isOwn ? a.firstOffset === writer.lastOffset + 1 : a.firstOffset > writer.lastOffset),
  })
  if (answer !== null) writer.acknowledge(answer, count)
}

export function readSome({ run }) {
  const stream = `${run}.shared`
  const info = streamInfo(stream)
  if (info === null) return
  const isNew = Math.random() < 0.5
  if (isNew) {
    const page = read(stream, { from: info.nextOffset, direction: 'backward', limit: 20 })
    check(page, {
      'newest: dense': p => p !== null && isDense(p.records, info.nextOffset - 1, -1),
    })
  } else {
    const from = Math.floor(Math.random() * (info.nextOffset + 1))
    const page = read(stream, { from, limit: 100 })
    check(page, { 'older: dense': p => p !== null && isDense(p.records, from, 1) })
  }
  sleep(0.02)
}

export function tailSome({ run }) {
  const stream = `${run}.shared`
  const info = streamInfo(stream)
  if (info === null) return
  const reached = tail(stream, info.nextOffset, { ms: TAIL_MS }, () => undefined)
  const after = streamInfo(stream)
  check(after, {
    'tail: not beyond the end': i => i !== null && reached <= i.nextOffset,
  })
}

export function teardown({ run }) {
  for (const info of listStreams(run).slice(0, READ_BACK_MAX)) {
    const ledger = new Ledger()
    const records = readAll(info.stream, record => ledger.add(record))
    check(ledger, {
      'read back: dense, to the end': () => records === info.nextOffset,
      'read back: each acknowledged record once, at its offset': l => l.isRight,
    })
    verifyStream(info.stream, info.nextOffset)
  }
}
