import {
  BATCH_RECORDS_MAX,
  HEADERS_BYTES_MAX,
  HEADERS_MAX,
  HEARTBEAT_MS,
  MIB,
  RECORD_BYTES_MAX,
  REQUEST_BYTES_MAX,
  SESSION_IN_FLIGHT_MAX,
  SESSIONS_MAX,
  STREAM_CONFIG_DEFAULT,
} from '../../shared/limits.ts'
import type { StreamConfig } from '../../shared/protocol/streams.ts'

/** Bounds of one append; api.md, Append. */
export type AppendLimits = {
  /** Body of one record, bytes. */
  readonly recordBytesMax: number
  /** Records of one append. */
  readonly batchRecordsMax: number
  /** Headers of one record, and their bytes as UTF-8 JSON. */
  readonly headersMax: number
  readonly headersBytesMax: number
}

export type HttpConfig = AppendLimits & {
  readonly host: string
  /** 0 takes any free port. */
  readonly port: number
  /** Body of one request, bytes. */
  readonly requestBytesMax: number
  /** Request bodies in memory at a time, bytes; at least `requestBytesMax`. */
  readonly bodyBudgetBytes: number
  /** Read pages in memory at a time, bytes. */
  readonly readBudgetBytes: number
  /** Longest time between two parts of a request body, and from a request's start to its end. */
  readonly requestIdleMs: number
  readonly requestTimeoutMs: number
  /** Time after which a client that takes none of the bytes that wait for it is cut off. */
  readonly responseIdleMs: number
  /** Time that requests under way have at the end of the service. */
  readonly drainMs: number
  /** Open TCP connections. */
  readonly connectionsMax: number
  /** WebSocket tails, event streams and long polls at a time. */
  readonly subscriptionsMax: number
  /** Append sessions at a time. */
  readonly sessionsMax: number
  /** Unanswered appends of one session; past it its socket is not read. */
  readonly sessionInFlightMax: number
  /** Names of the service, with a port or without, beside those it has anyway; `*` is any name. */
  readonly allowedHosts: readonly string[]
  /** Origins, besides the service's own, whose pages may use it; `*` allows every one. */
  readonly allowedOrigins: readonly string[]
  /** Idle time after which a subscriber is told that it is still served. */
  readonly heartbeatMs: number
  /** What a stream gets where its creator says nothing. */
  readonly streamDefaults: StreamConfig
}

export const HTTP_CONFIG_DEFAULTS: HttpConfig = {
  host: '127.0.0.1',
  port: 4400,
  recordBytesMax: RECORD_BYTES_MAX,
  batchRecordsMax: BATCH_RECORDS_MAX,
  headersMax: HEADERS_MAX,
  headersBytesMax: HEADERS_BYTES_MAX,
  requestBytesMax: REQUEST_BYTES_MAX,
  bodyBudgetBytes: 160 * MIB,
  readBudgetBytes: 192 * MIB,
  requestIdleMs: 10_000,
  requestTimeoutMs: 60_000,
  responseIdleMs: 30_000,
  drainMs: 10_000,
  connectionsMax: 10_000,
  subscriptionsMax: 5000,
  sessionsMax: SESSIONS_MAX,
  sessionInFlightMax: SESSION_IN_FLIGHT_MAX,
  allowedHosts: [],
  allowedOrigins: [],
  heartbeatMs: HEARTBEAT_MS,
  streamDefaults: STREAM_CONFIG_DEFAULT,
}
