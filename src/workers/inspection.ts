import { basename, dirname, resolve } from 'node:path'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { StoreError } from '../shared/errors.ts'
import type { InspectionMessage, InspectionRequest } from '../shared/protocol/inspection.ts'
import { DiskError } from './disk/disk.ts'
import { systemEnvironment } from './environment.ts'
import { NodeDisk } from './disk/node-disk.ts'
import { inspectFile } from './inspection/inspect.ts'
import { KeptHeads } from './inspection/kept-heads.ts'
import { repairDirectory } from './repair/repair.ts'
import { verifyDirectory } from './inspection/verify.ts'

// Entry of the thread for offline work of the command line: one request, messages, the end.

const request = workerData as InspectionRequest
const port = parentPort as MessagePort
const post = (message: InspectionMessage): void => port.postMessage(message)

try {
  switch (request.kind) {
    case 'verify':
      verifyDirectory(new NodeDisk(request.data), new KeptHeads(request.heads, request.keys), post)
      break
    case 'repair': {
      const report = repairDirectory(new NodeDisk(request.data), systemEnvironment, request)
      post({ kind: 'repaired', ...report })
      break
    }
    case 'inspect':
      inspectFile(new NodeDisk(dirname(resolve(request.file))), basename(request.file), post)
      break
  }
} catch (error) {
  if (!(error instanceof StoreError || error instanceof DiskError)) throw error
  post({ kind: 'failed', reason: error.message })
}
