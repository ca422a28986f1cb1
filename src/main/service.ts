import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Logger } from 'pino'
import { HEARTBEAT_MS } from '../shared/limits.ts'
import type { ShardOpened, ShardOptions } from '../shared/protocol/shard.ts'
import type { ShardStatus } from '../shared/protocol/streams.ts'
import type { ServeConfig } from './config.ts'
import { DirectoryLock } from './directory-lock.ts'
import { fileExists, readTextFile } from './files.ts'
import type { HttpConfig } from './http/http-config.ts'
import { prepareServer, type Server } from './http/server.ts'
import { addEngineGauges } from './observe/engine-metrics.ts'
import { ShardedStore } from './shards/sharded-store.ts'
import type { ShardedStoreOptions } from './shards/store-options.ts'
import { streamDefaults } from './stream-defaults.ts'

/** Longest time that a stop waits for requests under way. */
const DRAIN_MS_MAX = 10_000

/** The running service: its parts opened in order, and closed in reverse. */
export class Service {
  readonly #lock: DirectoryLock
  readonly #store: ShardedStore
  readonly #server: Server
  #closing: Promise<void> | undefined

  private constructor(lock: DirectoryLock, store: ShardedStore, server: Server) {
    this.#lock = lock
    this.#store = store
    this.#server = server
  }

  /**
   * Locks the data directory, recovers its shards, and listens.
   * @throws StoreError invalid_request when the data directory cannot be used
   */
  static async open(config: ServeConfig, log: Logger): Promise<Service> {
    if (!fileExists(config.data)) await checkAddress(config)
    const lock = DirectoryLock.take(config.data)
    if (lock.isNew)
      log.info({ data: config.data }, 'laying out a new store: the directory is empty')
    try {
      const store = await ShardedStore.start(storeOptions(config, log))
      try {
        lock.holdHeader()
        // The routes are built on this thread while the shards recover on theirs.
        const parts = { store, config: httpConfig(config), logger: log }
        const prepared = await prepareServer(parts)
        addEngineGauges(prepared.metrics, store)
        await store.recovered
        return new Service(lock, store, await prepared.listen())
      } catch (error) {
        await store.close()
        throw error
      }
    } catch (error) {
      lock.release()
      throw error
    }
  }

  get url(): string {
    return this.#server.url
  }

  /** Refuses new work, makes everything accepted durable, and releases the lock. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#server.close()
    await this.#store.close()
    this.#lock.release()
  }
}

/** Fails as the server would, before a directory is made for it. */
async function checkAddress({ host, port }: ServeConfig): Promise<void> {
  const probe = createServer().listen(port, host)
  await once(probe, 'listening')
  probe.close()
  await once(probe, 'close')
}

export function storeOptions(config: ServeConfig, log: Logger): ShardedStoreOptions {
  const { data, shards, readers, inFlightBytesMax, transactionTimeoutMs, signingKey } = config
  return {
    data,
    shards,
    readers,
    inFlightBytesMax,
    transactionTimeoutMs,
    signingKey: signingKey === undefined ? undefined : readTextFile(signingKey),
    engine: engineOptions(config),
    onLog: (shard, { level, message, fields }) => log[level]({ shard, ...fields }, message),
    onMended: files => log.warn({ files }, MENDED),
    onResharded: report => log.info(report, 'the number of shards has changed'),
    onOpened: (shard, opened) => logOpened(log, shard, opened),
    onState: status => logState(log, status),
  }
}

const MENDED = 'files were damaged or missing and were rebuilt'

function logOpened(log: Logger, shard: number, { report, refused }: ShardOpened): void {
  if (report !== null && report.rebuilt.length > 0) {
    log.warn({ shard, files: report.rebuilt }, MENDED)
  }
  if (report !== null) log.info({ shard, ...report }, 'shard recovered')
  else if (refused !== null)
    log.error(
      { shard, reason: refused },
      'journal refused: the shard is read-only; repair it with: varve repair',
    )
}

function logState(log: Logger, { shard, state, detail }: ShardStatus): void {
  const fields = { shard, state, detail }
  if (state === 'failed') log.error(fields, 'shard failed')
  else if (state === 'disk_full' || state === 'recovering') log.warn(fields, `shard is ${state}`)
  else log.debug(fields, `shard is ${state}`)
}

function engineOptions(config: ServeConfig): ShardOptions {
  return {
    slotBytes: config.slotBytes,
    journalFileBytes: config.journalFileBytes,
    journalBytesMax: config.journalBytesMax,
    checkpointIntervalMs: config.checkpointIntervalMs,
    retentionIntervalMs: config.retentionIntervalMs,
    flushDelayMs: config.flushDelayMs,
    flushOperationsMax: config.flushOperationsMax,
    relaxedFlushMs: config.relaxedFlushMs,
    diskReserveBytes: config.diskReserveBytes,
    stallMs: config.stallMs,
    trustClock: config.trustClock,
    directIo: config.directIo,
    streamsMax: config.streamsMax,
    producerExpirySeconds: config.producerExpirySeconds,
    directBytes: config.directBytes,
    autoCreate: config.autoCreate,
    defaultConfig: streamDefaults(config),
  }
}

function httpConfig(config: ServeConfig): HttpConfig {
  return {
    host: config.host,
    port: config.port,
    recordBytesMax: config.recordBytesMax,
    batchRecordsMax: config.batchRecordsMax,
    headersMax: config.headersMax,
    headersBytesMax: config.headersBytesMax,
    requestBytesMax: config.requestBytesMax,
    bodyBudgetBytes: config.bodyBudgetBytes,
    readBudgetBytes: config.readBudgetBytes,
    requestIdleMs: config.requestIdleMs,
    requestTimeoutMs: config.requestTimeoutMs,
    responseIdleMs: config.responseIdleMs,
    // The rest is for the store, which has to make durable and store what was accepted.
    drainMs: Math.min(DRAIN_MS_MAX, config.shutdownMs / 3),
    connectionsMax: config.connectionsMax,
    subscriptionsMax: config.subscriptionsMax,
    sessionsMax: config.sessionsMax,
    sessionInFlightMax: config.sessionInFlightMax,
    allowedHosts: config.allowedHosts,
    allowedOrigins: config.allowedOrigins,
    heartbeatMs: HEARTBEAT_MS,
    streamDefaults: streamDefaults(config),
  }
}
