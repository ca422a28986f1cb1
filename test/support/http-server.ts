import { connect } from 'node:net'
import { HTTP_CONFIG_DEFAULTS, type HttpConfig } from '../../src/main/http/http-config.ts'
import { openServer, type Server } from '../../src/main/http/server.ts'
import type { RecordObject } from '../../src/shared/schemas/read.ts'
import type { StreamInfo } from '../../src/shared/schemas/streams.ts'
import type { PublicKey } from '../../src/shared/protocol/streams.ts'
import type { SignedCheckpoint } from './signed-checkpoint.ts'
import { MemoryStore, type MemoryStoreOptions, until } from './memory-store.ts'

/** Members of every answer that the tests look at; which are there depends on the answer. */
type AnswerBody = Partial<StreamInfo> & {
  recordHash?: string
  lastHash?: string | null
  signedThrough?: number
  actualHash?: string
  code?: string
  detail?: string
  status?: number
  outcome?: string
  retryable?: boolean
  count?: number
  durable?: boolean
  duplicate?: boolean
  durability?: string
  timestamp?: string
  tailOffset?: number
  closed?: boolean
  records?: RecordObject[]
  streams?: StreamInfo[]
  next?: string | number | null
  ready?: boolean
  ok?: boolean
  verifiedRecords?: number
  anchor?: string
  expectedSeq?: number
  epoch?: number
  transactionId?: string
  appends?: { stream: string; firstOffset: number; nextOffset: number; chainHead: string }[]
  checkpoints?: SignedCheckpoint[]
  keys?: PublicKey[]
}

type Answer = {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly body: AnswerBody
}

export type TestServer = {
  readonly server: Server
  readonly store: MemoryStore
  readonly url: string
  /** `target` is what follows the origin. */
  readonly send: (method: string, target: string, init?: RequestInit) => Promise<Answer>
  /** Appends a body of a type; `query` with its `?`. */
  readonly append: (
    stream: string,
    type: string,
    body: string | Buffer,
    query?: string,
  ) => Promise<Answer>
  readonly read: (stream: string, query?: string, accept?: string) => Promise<Answer>
  /** Resolves once the metrics have a line. */
  readonly whenMetric: (line: string) => Promise<void>
}

/** A server on a free port over an empty in-memory store, closed when `run` is done. */
export async function withServer(
  run: (server: TestServer) => Promise<void>,
  config: Partial<HttpConfig> = {},
  options: MemoryStoreOptions = {},
): Promise<void> {
  const store = new MemoryStore(options)
  const server = await openServer({
    store,
    config: { ...HTTP_CONFIG_DEFAULTS, port: 0, ...config },
  })
  const send = (method: string, target: string, init?: RequestInit) =>
    fetchAnswer(`${server.url}${target}`, { method, ...init })
  const records = (stream: string) => `/v1/streams/${encodeURIComponent(stream)}/records`
  try {
    await run({
      server,
      store,
      url: server.url,
      send,
      append: (stream, type, body, query = '') =>
        send('POST', records(stream) + query, { body, headers: { 'content-type': type } }),
      read: (stream, query = '', accept = 'application/json') =>
        send('GET', records(stream) + query, { headers: { accept } }),
      whenMetric: line => until(async () => (await server.metrics.render()).includes(`${line}\n`)),
    })
  } finally {
    await server.close()
    await store.close()
  }
}

async function fetchAnswer(url: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(url, { ...init, keepalive: false })
  const text = await response.text()
  const isJson = /json(;|$)/.test(response.headers.get('content-type') ?? '')
  const isObject = isJson && text.startsWith('{')
  const body = isObject && !text.includes('}\n') ? (JSON.parse(text) as AnswerBody) : {}
  return { status: response.status, headers: response.headers, text, body }
}

/** Sends bytes as they are; resolves to all that came back once the connection is closed. */
export function sendRaw(url: string, bytes: string): Promise<string> {
  const { port, hostname } = new URL(url)
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect(Number(port), hostname, () => socket.write(bytes, 'latin1'))
    socket.setEncoding('utf8').on('data', (text: string) => {
      answer += text
    })
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
  })
}

/** `{"records": [...]}` */
export function json(...records: unknown[]): string {
  return JSON.stringify({ records })
}

/** A request with a JSON body. */
export function jsonBody(value: unknown): RequestInit {
  return { body: JSON.stringify(value), headers: { 'content-type': 'application/json' } }
}
