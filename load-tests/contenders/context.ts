import { createServer, type AddressInfo } from 'node:net'
import type { Processes } from '../bench/processes.ts'
import type { Timing } from '../generator/jobs.ts'

/** What a contender is measured with. */
export type Context = {
  readonly processes: Processes
  /** Empty when the point begins, removed after it. */
  readonly directory: string
  readonly timing: Timing
  readonly shards: number | undefined
  /** Whether system calls are counted too, where that is possible. */
  readonly countsSystemCalls?: boolean
}

/** Not taken now, and hardly before the contender takes it. */
export async function findFreePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => {
    server.close(resolve)
  })
  return port
}
