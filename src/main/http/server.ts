import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import websocket from '@fastify/websocket'
import fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import {
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
} from 'fastify-type-provider-zod'
import { StoreError } from '../../shared/errors.ts'
import { MIB, READ_BYTES_DEFAULT } from '../../shared/limits.ts'
import { Metrics } from '../observe/metrics.ts'
import { Sessions } from '../session/sessions.ts'
import type { StreamStore } from '../store.ts'
import { Hub } from '../tail/hub.ts'
import { AppendAnswers } from './append-answer.ts'
import { BodyBudget } from './body-budget.ts'
import { Connections } from './connections.ts'
import { answerNotFound, sendProblem } from './failures.ts'
import type { HttpConfig } from './http-config.ts'
import { parseJson } from './json-envelope.ts'
import { KnownPaths } from './known-paths.ts'
import { Listeners } from './listeners.ts'
import { PartialMessages } from './partial-messages.ts'
import { ReadBudget } from './read-budget.ts'
import { pageBytes, Reads } from './reads.ts'
import { RequestBodies } from './request-bodies.ts'
import type { RouteContext } from './route-context.ts'
import { appendRoute } from './routes/append.ts'
import { checkpointRoutes } from './routes/checkpoints.ts'
import { readRoutes } from './routes/read.ts'
import { serviceRoutes } from './routes/service.ts'
import { sessionRoute } from './routes/session.ts'
import { streamRoutes } from './routes/streams.ts'
import { tailRoute } from './routes/tail.ts'
import { transactionRoute } from './routes/transactions.ts'
import { verifyRoute } from './routes/verify.ts'
import { addTrust, Trust } from './trust.ts'
import { upgradableRequest, Upgrades } from './upgrades.ts'

/** Bodies of everything but appends. */
const SMALL_BODY_BYTES_MAX = MIB
/** Longer than any header section, so that a name's length is judged by its own rule. */
const PARAM_LENGTH_MAX = 65_536
/** What a subscriber sends is ignored, and closes the connection past this. */
const WEBSOCKET_PAYLOAD_MAX = 4096
const EMPTY = Buffer.alloc(0)
const GOING_AWAY = 1001
/** Time that a subscriber has to answer a close before its connection is cut. */
const CLOSE_GRACE_MS = 1000
/** Addresses that still answer while the service drains. */
const WHILE_DRAINING: ReadonlySet<string> = new Set(['/v1/health', '/v1/ready', '/metrics'])

export type ServerParts = {
  readonly store: StreamStore
  readonly config: HttpConfig
  /** A pino logger; nothing is logged without one. */
  readonly logger?: FastifyBaseLogger
  readonly metrics?: Metrics
}

export type Server = {
  readonly app: FastifyInstance
  /** With the port that was taken. */
  readonly url: string
  readonly metrics: Metrics
  /** Refuses new work, ends tails and long polls, lets the rest finish. The store stays open. */
  close(): Promise<void>
}

/** A server whose routes are built, and that nobody can reach yet. */
export type PreparedServer = {
  readonly metrics: Metrics
  listen(): Promise<Server>
}

/** Serves `store` by the contract of api.md. */
export async function openServer(parts: ServerParts): Promise<Server> {
  const server = await prepareServer(parts)
  return server.listen()
}

/** Builds everything that does not need the store to be open: nothing is asked of it yet. */
export async function prepareServer(parts: ServerParts): Promise<PreparedServer> {
  const { store, config } = parts
  const metrics = parts.metrics ?? new Metrics()
  const now = () => performance.now()
  const budget = new BodyBudget(config.bodyBudgetBytes, config.requestBytesMax)
  const bodies = new RequestBodies(budget, config.requestIdleMs, now)
  const hub = new Hub(store, now, config.subscriptionsMax)
  const connections = new Connections({
    responseIdleMs: config.responseIdleMs,
    now,
    failBody: (request, failure) => bodies.fail(request, failure),
    onCut: reason => metrics.onCut(reason),
  })
  const requestClass = upgradableRequest(socket => connections.isBusy(socket))
  const listeners = new Listeners(config, connections, requestClass)
  const app = createApp(parts, listeners, connections)
  const upgrades = new Upgrades(app.server, config.requestBytesMax)
  const answers = new AppendAnswers()
  const partialMessages = new PartialMessages(config.requestIdleMs, config.requestTimeoutMs, now)
  const sessions = new Sessions(
    { store, limits: config, budget, metrics, answers, partialMessages, log: app.log },
    config.sessionsMax,
  )
  const readBudget = new ReadBudget(
    config.readBudgetBytes,
    pageBytes(READ_BYTES_DEFAULT, config.recordBytesMax),
  )
  const reads = new Reads(store, readBudget, config.recordBytesMax)
  const context = {
    store,
    config,
    bodies,
    reads,
    partialMessages,
    hub,
    sessions,
    upgrades,
    metrics,
  }
  await addWebSockets(app, upgrades)
  // Hooks hold for what is registered after them.
  app.addHook('onRequest', (request, _reply, done) => connections.enter(request.raw, done))
  addTrust(app, new Trust(config))
  addHooks(app, hub, metrics)
  await addDocs(app)
  addParsers(app, bodies)
  addGauges(context, budget, readBudget)
  await addRoutes(app, context)
  await app.ready()
  const close = async () => {
    hub.close()
    const closeApp = async () => {
      await sessions.close()
      await app.close()
    }
    await connections.drain(closeApp, config.drainMs)
    bodies.close()
    partialMessages.close()
  }
  const listen = async () => ({ app, url: await listeners.listen(app, config), metrics, close })
  return { metrics, listen }
}

function createApp(
  { logger }: ServerParts,
  listeners: Listeners,
  connections: Connections,
): FastifyInstance {
  const app = fastify({
    ...(logger === undefined ? { logger: false } : { loggerInstance: logger }),
    logController: new LogController({ disableRequestLogging: true }),
    exposeHeadRoutes: false,
    return503OnClosing: false, // the hook answers, as a problem
    forceCloseConnections: 'idle',
    bodyLimit: SMALL_BODY_BYTES_MAX,
    routerOptions: { maxParamLength: PARAM_LENGTH_MAX },
    serverFactory: listeners.create,
    clientErrorHandler: (error, socket) => connections.onMalformed(error, socket),
    frameworkErrors: sendProblem,
  })
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply))
  app.setNotFoundHandler(answerNotFound)
  return app
}

/** Before every hook that may refuse an upgrade: the plugin's own end the socket of one. */
async function addWebSockets(app: FastifyInstance, upgrades: Upgrades): Promise<void> {
  await app.register(websocket, {
    options: { perMessageDeflate: false, maxPayload: WEBSOCKET_PAYLOAD_MAX },
    // The socket has said what is wrong and closed itself; it is the client's fault, not ours.
    errorHandler: (error, socket) => {
      app.log.debug({ reason: error.message }, 'a WebSocket broke its protocol')
      setTimeout(() => socket.terminate(), CLOSE_GRACE_MS).unref()
    },
    // The hub has closed every tail by then; none is left behind by a late upgrade.
    preClose(this: FastifyInstance, done: () => void) {
      const { clients } = this.websocketServer
      for (const client of clients) client.close(GOING_AWAY)
      const terminate = () => clients.forEach(client => client.terminate())
      const timer = setTimeout(terminate, CLOSE_GRACE_MS)
      this.websocketServer.close(() => clearTimeout(timer))
      upgrades.close(CLOSE_GRACE_MS)
      done()
    },
  })
}

async function addDocs(app: FastifyInstance): Promise<void> {
  const info = { title: 'Varve', description: 'Stream storage', version: '1' }
  await app.register(swagger, {
    openapi: { openapi: '3.1.0', info },
    transform: jsonSchemaTransform,
  })
  await app.register(swaggerUi, { routePrefix: '/docs' })
}

/** JSON.parse keeps `__proto__` and `constructor` the ordinary keys that they are. */
function addParsers(app: FastifyInstance, bodies: RequestBodies): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', ({ raw }, _payload, done) => {
    bodies.admit(raw, SMALL_BODY_BYTES_MAX)
    bodies.read(raw, (failure, body = EMPTY) => {
      bodies.release(raw)
      try {
        if (failure !== null) throw failure
        done(null, body.length === 0 ? undefined : parseJson(body, 'the body'))
      } catch (error) {
        done(error as Error)
      }
    })
  })
}

function addHooks(app: FastifyInstance, hub: Hub, metrics: Metrics): void {
  const paths = new KnownPaths()
  const countElsewhere = metrics.addRoute('', 'none')
  app.addHook('onRoute', route => {
    paths.add(route.method, route.url)
    const count = metrics.addRoute([route.method].flat().join(), route.url)
    route.onResponse = (_request, reply, done) => {
      count(reply.statusCode)
      done()
    }
  })
  app.addHook('onRequest', (request, reply, done) => {
    if (request.is404) {
      const allowed = paths.methodsOf(request.raw.url ?? '')
      if (allowed !== undefined) reply.header('allow', allowed)
      const code = allowed === undefined ? 'not_found' : 'method_not_allowed'
      done(new StoreError(code, `${request.method} is not served at this address`))
    } else if (hub.isClosed && !WHILE_DRAINING.has(request.routeOptions.url ?? '')) {
      done(new StoreError('shutting_down', 'the service is shutting down'))
    } else done()
  })
  app.addHook('onResponse', (request, reply, done) => {
    if (request.is404) countElsewhere(reply.statusCode)
    done()
  })
}

function addGauges(
  { metrics, hub, sessions }: RouteContext,
  budget: BodyBudget,
  readBudget: ReadBudget,
): void {
  metrics.addGauge({
    name: 'varve_request_body_bytes',
    help: 'Request bodies charged to the budget',
    collect: async () => [{ value: budget.used }],
  })
  metrics.addGauge({
    name: 'varve_read_page_bytes',
    help: 'Read pages charged to the budget',
    collect: async () => [{ value: readBudget.used }],
  })
  metrics.addGauge({
    name: 'varve_reads_waiting',
    help: 'Reads that wait for room in the budget',
    collect: async () => [{ value: readBudget.waiting }],
  })
  metrics.addGauge({
    name: 'varve_subscribers',
    help: 'WebSocket tails, event streams and long polls',
    collect: async () => [{ value: hub.subscribers }],
  })
  metrics.addGauge({
    name: 'varve_sessions',
    help: 'Append sessions',
    collect: async () => [{ value: sessions.count }],
  })
  metrics.addGauge({
    name: 'varve_session_unanswered',
    help: 'Messages of append sessions that were taken and not answered',
    collect: async () => [{ value: sessions.unanswered }],
  })
}

async function addRoutes(app: FastifyInstance, context: RouteContext): Promise<void> {
  await app.register(appendRoute(context))
  await app.register(transactionRoute(context))
  await app.register(streamRoutes(context))
  await app.register(readRoutes(context))
  await app.register(tailRoute(context))
  await app.register(sessionRoute(context))
  await app.register(verifyRoute(context))
  await app.register(checkpointRoutes(context))
  await app.register(serviceRoutes(context))
}
