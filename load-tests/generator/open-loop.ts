import { Client } from './client.ts'
import { createFailure } from './failure.ts'
import type { Measurement, OpenLoopJob } from './jobs.ts'
import { Meter } from './meter.ts'
import { sendPaced } from './paced.ts'
import { checkAppend, HttpReplies } from './replies.ts'

/** Appends of one record at a fixed rate; latencies are from when each was due. */
export async function runOpenLoop(job: OpenLoopJob): Promise<Measurement> {
  const failure = createFailure()
  const senders = await Promise.all(
    job.requests.map(async bytes => {
      const replies = new HttpReplies(body => checkAppend(body, 1))
      return { client: await Client.open(job.port, replies, failure.reject), bytes }
    }),
  )
  const meter = new Meter(job.timing)
  const paced = sendPaced(
    senders.map(({ client, bytes }) => ({ client, bytes: Buffer.from(bytes) })),
    {
      requestsPerSecond: job.requestsPerSecond,
      isOver: nowMs => meter.isOver(nowMs),
      onAnswer: (dueMs, nowMs) => meter.record(dueMs, nowMs, 1),
    },
  )
  try {
    return meter.result(await Promise.race([paced, failure.promise]))
  } finally {
    for (const { client } of senders) client.close()
  }
}
