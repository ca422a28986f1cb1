import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { Connections } from './connections.ts'
import { refuseExpectation, refuseTunnel } from './failures.ts'
import type { HttpConfig } from './http-config.ts'

/** Time of a kept connection without a request. */
const KEEP_ALIVE_MS = 72_000
const HEADERS_MS = 10_000
const CHECKS_MS = 5000
/** `localhost` is both of these wherever there is the second. */
const LOCALHOST = { host: '127.0.0.1', second: '::1' } as const

type ListenerConfig = Pick<HttpConfig, 'connectionsMax' | 'requestTimeoutMs'>

/** The HTTP servers of a service: one, or for `localhost` one for each version of IP. */
export class Listeners {
  readonly #config: ListenerConfig
  readonly #connections: Connections
  readonly #requestClass: typeof IncomingMessage
  #handler: RequestListener = () => undefined

  constructor(
    config: ListenerConfig,
    connections: Connections,
    requestClass: typeof IncomingMessage,
  ) {
    this.#config = config
    this.#connections = connections
    this.#requestClass = requestClass
  }

  /** For Fastify's `serverFactory`. */
  readonly create = (handler: RequestListener): Server => {
    this.#handler = handler
    return this.#create()
  }

  /** @returns the URL, with the port that was taken */
  async listen(app: FastifyInstance, { host, port }: Pick<HttpConfig, 'host' | 'port'>) {
    const isLocalhost = host === 'localhost'
    await app.listen({ host: isLocalhost ? LOCALHOST.host : host, port })
    const { address, port: taken, family } = app.server.address() as AddressInfo
    if (isLocalhost) await this.#listenSecond(app.server, taken)
    return `http://${family === 'IPv6' ? `[${address}]` : address}:${taken}`
  }

  async #listenSecond(main: Server, port: number): Promise<void> {
    const server = this.#create()
    server.on('upgrade', (...upgrade) => main.emit('upgrade', ...upgrade))
    server.on('clientError', (...failure) => main.emit('clientError', ...failure))
    server.listen({ host: LOCALHOST.second, port })
    try {
      await once(server, 'listening')
    } catch {
      return // there is no IPv6 here, or the port is in use there
    }
    main.once('close', () => server.close())
  }

  #create(): Server {
    const { connectionsMax, requestTimeoutMs } = this.#config
    const options = {
      IncomingMessage: this.#requestClass,
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: Math.min(HEADERS_MS, requestTimeoutMs),
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: Math.min(CHECKS_MS, Math.ceil(requestTimeoutMs / 4)),
      requireHostHeader: false, // refused by a hook, as a problem
    }
    const server = createServer(options, this.#handler)
    server.maxConnections = connectionsMax
    server.on('checkExpectation', refuseExpectation)
    server.on('connect', (_request, socket) => refuseTunnel(socket as Socket))
    this.#connections.attach(server)
    return server
  }
}
