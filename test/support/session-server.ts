import type { Socket } from 'node:net'
import { HTTP_CONFIG_DEFAULTS, type HttpConfig } from '../../src/main/http/http-config.ts'
import { openServer, type Server } from '../../src/main/http/server.ts'
import type { MemoryStore } from './memory-store.ts'
import { until } from './memory-store.ts'
import { SessionClient } from './session-client.ts'

export type SessionServer = {
  readonly server: Server
  readonly url: string
  readonly open: () => Promise<SessionClient>
  /** The server's ends of all connections, in the order in which they were opened. */
  readonly connections: readonly Socket[]
  /** Resolves once the metrics have a line. */
  readonly whenMetric: (line: string) => Promise<void>
}

/** A server on a free port over `store`, closed when `run` is done. */
export async function withSessions(
  store: MemoryStore,
  run: (server: SessionServer) => Promise<void>,
  config: Partial<HttpConfig> = {},
): Promise<void> {
  const server = await openServer({
    store,
    config: { ...HTTP_CONFIG_DEFAULTS, port: 0, ...config },
  })
  const connections: Socket[] = []
  server.app.server.on('connection', (socket: Socket) => connections.push(socket))
  try {
    await run({
      server,
      url: server.url,
      open: () => SessionClient.open(server.url),
      connections,
      whenMetric: line => until(async () => (await server.metrics.render()).includes(`${line}\n`)),
    })
  } finally {
    await server.close()
    await store.close()
  }
}
