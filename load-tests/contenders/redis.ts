import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { RECORD_BYTES } from '../bench/points.ts'
import { untilReady } from '../bench/processes.ts'
import type { Measurement } from '../generator/jobs.ts'
import { type Context, findFreePort } from './context.ts'
import { respCommand } from './requests.ts'

/** Found on the PATH, or the row is left out. */
export const REDIS_SERVER = 'redis-server'
/** No snapshot, and no rewrite of the log while it is measured. */
const SETTINGS = {
  '--bind': '127.0.0.1',
  '--save': '',
  '--appendonly': 'yes',
  '--appendfsync': 'always',
  '--auto-aof-rewrite-percentage': '0',
} as const

/** XADD of one record a command, a stream a connection, `pipeline` commands at a time. */
export async function measureRedis(
  context: Context,
  connections: number,
  pipeline: number,
): Promise<Measurement> {
  const { processes, directory, timing } = context
  const port = await findFreePort()
  const log = join(directory, 'redis.log')
  const own = { '--port': String(port), '--dir': directory }
  const args = Object.entries({ ...SETTINGS, ...own }).flat()
  const server = processes.start(REDIS_SERVER, args, log)
  try {
    await untilReady(server, log, async () => (await ask(port, ['PING'])) === '+PONG')
    const measurement = await processes.generate({
      kind: 'closed-loop',
      protocol: 'resp',
      port,
      requests: Array.from({ length: connections }, (_, index) => addCommand(index, pipeline)),
      repliesPerRequest: pipeline,
      recordsPerRequest: pipeline,
      checks: 'status',
      timing: { ...timing, observed: { pid: server.pid as number } },
    })
    await checkLengths(port, measurement.acknowledged, pipeline)
    return measurement
  } finally {
    await processes.end(server)
  }
}

function addCommand(index: number, times: number): Buffer {
  const body = Buffer.alloc(RECORD_BYTES, 'x')
  return respCommand(['XADD', `bench-${index}`, '*', 'd', body], times)
}

async function checkLengths(
  port: number,
  acknowledged: readonly number[],
  pipeline: number,
): Promise<void> {
  for (const [index, requests] of acknowledged.entries()) {
    const answer = await ask(port, ['XLEN', `bench-${index}`])
    const expected = `:${requests * pipeline}`
    if (answer !== expected) throw new Error(`a stream holds ${answer}, ${expected} were answered`)
  }
}

/** The first line of the answer to one command, on a connection of its own. */
async function ask(port: number, command: readonly string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    socket.write(respCommand(command, 1))
    const [bytes] = (await once(socket, 'data')) as [Buffer]
    return bytes.toString().trimEnd()
  } finally {
    socket.destroy()
  }
}
