import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import type { CheckpointerJob } from '../shared/protocol/checkpointer.ts'
import { NodeDisk } from './disk/node-disk.ts'
import { runJob } from './streams/checkpointer-job.ts'

/** What a checkpointer thread is started with. */
export type CheckpointerData = { readonly data: string; readonly shard: number }

const { data, shard } = workerData as CheckpointerData
const port = parentPort as MessagePort
const disk = new NodeDisk(data)

port.on('message', (job: CheckpointerJob) => port.postMessage(runJob(disk, shard, job)))
