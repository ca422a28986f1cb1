import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { crash } from '../shared/assert.ts'
import type { CheckpointerJob, CheckpointerResult } from '../shared/protocol/checkpointer.ts'
import { CopyFaults } from './disk/copy-faults.ts'
import { NodeDisk } from './disk/node-disk.ts'
import { runStepsTogether } from './disk/sync-steps.ts'
import { jobSteps } from './streams/checkpointer-job.ts'

/** What a checkpointer thread is started with. */
export type CheckpointerData = {
  readonly data: string
  readonly shard: number
  /** Second copies that the start could not write, and why. */
  readonly copyFaults: readonly (readonly [path: string, reason: string])[]
}

const { data, shard, copyFaults } = workerData as CheckpointerData
const port = parentPort as MessagePort
const disk = new NodeDisk(data)
const faults = new CopyFaults(copyFaults)
let told = ''
tellFaults()

/** Ends with the last job that was sent: one runs at a time, in their order. */
let last: Promise<void> = Promise.resolve()

port.on('message', (job: CheckpointerJob) => {
  last = last.then(() => run(job)).catch(crash)
})

async function run(job: CheckpointerJob): Promise<void> {
  const steps = jobSteps(disk, shard, job, faults)
  port.postMessage(await runStepsTogether(step => disk.syncTogether(step), steps))
  tellFaults()
}

/** Reports which second copies cannot be written, if that has changed. */
function tellFaults(): void {
  const reasons = faults.all.map(([, reason]) => reason)
  if (reasons.join() === told) return
  told = reasons.join()
  port.postMessage({ kind: 'copies', reasons } satisfies CheckpointerResult)
}
