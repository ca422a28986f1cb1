import { join } from 'node:path'
import { BATCH_RECORDS, RECORD_BYTES } from '../bench/points.ts'
import { firstMessage } from '../bench/processes.ts'
import type { DiskSync, Measurement } from '../generator/jobs.ts'
import type { Context } from './context.ts'
import { httpPost } from './requests.ts'

const START_LIMIT_MS = 15_000
const ENGINE_IN_FLIGHT = 16

export function measureDisk(
  { processes, directory, timing }: Context,
  bytes: number,
  how: { readonly sync?: DiskSync; readonly isDirect?: boolean; readonly grows?: boolean } = {},
): Promise<Measurement> {
  const { sync = 'fdatasync', isDirect = false, grows = false } = how
  const path = join(directory, 'floor')
  return processes.generate({ kind: 'disk', path, bytes, sync, isDirect, grows, timing })
}

/** The store in the generator's process, without HTTP, or the least work that it can do. */
export function measureEngine(
  { processes, directory, timing }: Context,
  what: 'store' | 'floor',
): Promise<Measurement> {
  return processes.generate({
    kind: 'engine',
    what,
    directory: join(directory, 'data'),
    records: BATCH_RECORDS,
    recordBytes: RECORD_BYTES,
    inFlight: ENGINE_IN_FLIGHT,
    timing,
  })
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
      timing: { ...timing, observed: { pid: server.pid as number } },
    })
  } finally {
    await processes.end(server)
  }
}
