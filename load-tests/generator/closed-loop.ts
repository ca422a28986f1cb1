import { Client } from './client.ts'
import { createFailure } from './failure.ts'
import type { ClosedLoopJob, Measurement } from './jobs.ts'
import { Meter } from './meter.ts'
import { checkAppend, HttpReplies, type Replies, RespReplies } from './replies.ts'

/** As many requests in flight as there are connections, each followed by the next. */
export async function runClosedLoop(job: ClosedLoopJob): Promise<Measurement> {
  const failure = createFailure()
  const open = async () => Client.open(job.port, createReplies(job), failure.reject)
  const clients = await Promise.all(job.requests.map(open))
  const meter = new Meter(job.timing)
  const loops = clients.map((client, index) =>
    runLoop(client, job.requests[index] as Uint8Array, meter, job.recordsPerRequest),
  )
  try {
    const acknowledged = await Promise.race([Promise.all(loops), failure.promise])
    return meter.result(acknowledged)
  } finally {
    for (const client of clients) client.close()
  }
}

function createReplies(job: ClosedLoopJob): Replies {
  if (job.protocol === 'resp') return new RespReplies(job.repliesPerRequest)
  if (job.checks === 'status') return new HttpReplies()
  return new HttpReplies(body => checkAppend(body, job.recordsPerRequest))
}

/** Answers how many requests were acknowledged, once the last of them is. */
function runLoop(
  client: Client,
  request: Uint8Array,
  meter: Meter,
  recordsPerRequest: number,
): Promise<number> {
  return new Promise(resolve => {
    let acknowledged = 0
    let sentMs = performance.now()
    const onReply = (nowMs: number) => {
      acknowledged += 1
      meter.record(sentMs, nowMs, recordsPerRequest)
      if (meter.isOver(nowMs)) return resolve(acknowledged)
      sentMs = nowMs
      client.send(request, onReply)
    }
    client.send(request, onReply)
  })
}
