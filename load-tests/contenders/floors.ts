import { join } from 'node:path'
import { RECORD_BYTES } from '../bench/points.ts'
import { firstMessage } from '../bench/processes.ts'
import type { Measurement } from '../generator/jobs.ts'
import type { Context } from './context.ts'
import { httpPost } from './requests.ts'

const START_LIMIT_MS = 15_000

export function measureDisk(context: Context, bytes: number, grows = false): Promise<Measurement> {
  const { processes, directory, timing } = context
  const path = join(directory, 'floor')
  return processes.generate({ kind: 'disk', path, bytes, grows, timing })
}

export async function measureBare(context: Context, connections: number): Promise<Measurement> {
  const { processes, timing } = context
  const server = processes.fork('bare-fastify.js')
  try {
    const port = await firstMessage<number>(server, START_LIMIT_MS)
    const body = Buffer.alloc(RECORD_BYTES, 'x')
    const request = httpPost(port, '/', 'application/octet-stream', body)
    return await processes.generate({
      kind: 'closed-loop',
      protocol: 'http',
      port,
      requests: Array.from({ length: connections }, () => request),
      repliesPerRequest: 1,
      recordsPerRequest: 1,
      checks: 'status',
      timing,
    })
  } finally {
    await processes.end(server)
  }
}
