import { createFailure } from './failure.ts'
import type { Measurement, SessionJob } from './jobs.ts'
import { Meter } from './meter.ts'
import { SessionClient } from './session-client.ts'

/** Each session keeps as many appends in flight: what was answered together is sent together. */
export async function runSessionLoop(job: SessionJob): Promise<Measurement> {
  const failure = createFailure()
  const body = Buffer.alloc(job.recordBytes, 'x')
  const open = (stream: string) =>
    SessionClient.open(job.port, stream, job.format, body, failure.reject)
  const clients = await Promise.all(job.streams.map(open))
  const meter = new Meter(job.timing)
  try {
    const loops = clients.map(client => runLoop(client, job.inFlight, meter))
    return meter.result(await Promise.race([Promise.all(loops), failure.promise]))
  } finally {
    for (const client of clients) client.close()
  }
}

/** Answers how many appends were acknowledged, once the last of them is. */
function runLoop(client: SessionClient, inFlight: number, meter: Meter): Promise<number> {
  return new Promise(resolve => {
    /** Times of sending: the answers come in the same order. */
    const sentMs: number[] = Array.from({ length: inFlight }, () => performance.now())
    let isOver = false
    let unanswered = inFlight
    client.start(count => {
      const nowMs = performance.now()
      const firstAt = client.answered - count
      for (let at = firstAt; at < client.answered; at += 1) {
        meter.record(sentMs[at % inFlight] as number, nowMs, 1)
        sentMs[at % inFlight] = nowMs
      }
      isOver ||= meter.isOver(nowMs)
      if (isOver) unanswered -= count
      else client.send(count)
      if (unanswered === 0) resolve(client.answered)
    })
    client.send(inFlight)
  })
}
