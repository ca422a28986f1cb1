import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { crash } from '../shared/assert.ts'
import type { CheckpointerJob } from '../shared/protocol/checkpointer.ts'
import { NodeDisk } from './disk/node-disk.ts'
import { runStepsTogether } from './disk/sync-steps.ts'
import { jobSteps } from './streams/checkpointer-job.ts'

/** What a checkpointer thread is started with. */
export type CheckpointerData = { readonly data: string; readonly shard: number }

const { data, shard } = workerData as CheckpointerData
const port = parentPort as MessagePort
const disk = new NodeDisk(data)

/** Ends with the last job that was sent: one runs at a time, in their order. */
let last: Promise<void> = Promise.resolve()

port.on('message', (job: CheckpointerJob) => {
  last = last.then(() => run(job)).catch(crash)
})

async function run(job: CheckpointerJob): Promise<void> {
  const steps = jobSteps(disk, shard, job)
  port.postMessage(await runStepsTogether(step => disk.syncTogether(step), steps))
}
