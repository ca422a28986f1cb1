import { check } from 'k6'
import exec from 'k6/execution'
import { makeOptions, share, stages } from './lib/settings.js'
import { append, listStreams, newRun, readAll, verifyStream } from './lib/varve.js'
import { Ledger, Writer } from './lib/writers.js'

// Appends: every virtual user to a stream of its own, where it can foretell each offset, and some
// to one that they share. At the end everything is read back and held against what was answered.

export { handleSummary } from './lib/summary.js'

export const options = makeOptions(
  {
    own: { executor: 'ramping-vus', exec: 'own', stages: stages(share(0.75)) },
    shared: { executor: 'ramping-vus', exec: 'shared', stages: stages(share(0.25)) },
  },
  { 'http_req_duration{name:append}': ['p(99)>=0'] },
)

const BATCH = 100
/** Streams that are read back at the end, so that it takes a bounded time. */
const READ_BACK_MAX = 20

const writers = {}

export function setup() {
  return { run: newRun('append') }
}

export function own({ run }) {
  const stream = `${run}.own.${exec.vu.idInTest}`
  const writer = writerOf(stream)
  const count = exec.vu.iterationInScenario % 5 === 4 ? BATCH : 1
  const expected = writer.lastOffset + 1
  const answer = append(stream, writer.next(count), { expectedOffset: expected })
  check(answer, {
    'own stream: at the offset foretold': a => a !== null && a.firstOffset === expected,
  })
  if (answer !== null) writer.acknowledge(answer, count)
}

export function shared({ run }) {
  const stream = `${run}.shared`
  const writer = writerOf(stream)
  const answer = append(stream, writer.next(1))
  check(answer, {
    'shared stream: offsets grow': a => a !== null && a.firstOffset > writer.lastOffset,
  })
  if (answer !== null) writer.acknowledge(answer, 1)
}

export function teardown({ run }) {
  const streams = listStreams(run).sort((a, b) => (a.stream < b.stream ? 1 : -1))
  check(streams, { 'streams are listed': found => found.length > 0 })
  for (const info of streams.slice(0, READ_BACK_MAX)) {
    const ledger = new Ledger()
    const records = readAll(info.stream, record => ledger.add(record))
    check(info, {
      'read back: dense, to the end': () => records === info.nextOffset,
      'read back: each acknowledged record once, at its offset': () => ledger.isRight,
    })
    verifyStream(info.stream, info.nextOffset)
  }
}

function writerOf(stream) {
  if (writers[stream] === undefined) writers[stream] = new Writer(`vu-${exec.vu.idInTest}`)
  return writers[stream]
}
