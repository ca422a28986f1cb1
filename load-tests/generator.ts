import { once } from 'node:events'
import { runClosedLoop } from './generator/closed-loop.ts'
import { runDiskLoop } from './generator/disk-loop.ts'
import { runEngineLoop } from './generator/engine-loop.ts'
import type { Job, JobAnswer, Measurement } from './generator/jobs.ts'
import { runOpenLoop } from './generator/open-loop.ts'
import { runReadLoop } from './generator/read-loop.ts'
import { runSessionLoop } from './generator/session-loop.ts'
import { runTailLoop } from './generator/tail-loop.ts'

// A load generator: a process that is sent one job, answers it and ends.

async function run(job: Job): Promise<Measurement> {
  switch (job.kind) {
    case 'closed-loop':
      return runClosedLoop(job)
    case 'disk':
      return runDiskLoop(job)
    case 'engine':
      return runEngineLoop(job)
    case 'open-loop':
      return runOpenLoop(job)
    case 'read':
      return runReadLoop(job)
    case 'session':
      return runSessionLoop(job)
    case 'tail':
      return runTailLoop(job)
  }
}

async function answer(job: Job): Promise<JobAnswer> {
  try {
    return { kind: 'done', measurement: await run(job) }
  } catch (error) {
    return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) }
  }
}

async function main(): Promise<void> {
  const [job] = (await once(process, 'message')) as [Job]
  process.send?.(await answer(job), () => process.disconnect())
}

await main()
