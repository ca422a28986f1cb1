import { Agent, type IncomingMessage, request as requestHttp } from 'node:http'
import { Agent as SecureAgent, request as requestHttps } from 'node:https'
import { checkStreamName } from '../../shared/format/stream-name.ts'
import { Problem } from '../../shared/schemas/problem.ts'
import { CommandFailure, ExitCode } from './context.ts'

// A small HTTP client. `fetch` would do, but for two things: it refuses a list of ports, and it
// hides whether a connection was refused or lost on the way.

/** A connection that was idle for longer is not used again: the server may be closing it. */
const IDLE_MS = 2000

export type Answer = {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

export type ClientRequest = {
  readonly method?: 'GET' | 'POST'
  readonly path: string
  readonly query?: Readonly<Record<string, string | number | undefined>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer
}

/** The server answered with a problem. */
export class ProblemFailure extends CommandFailure {
  readonly problem: Problem
  /** What the server asks a client to wait, where it does. */
  readonly retryAfterMs: number | undefined

  constructor(problem: Problem, retryAfterMs?: number) {
    super(describeProblem(problem))
    this.problem = problem
    this.retryAfterMs = retryAfterMs
  }
}

/** No answer came. */
export class ConnectionFailure extends CommandFailure {
  /** In few words. */
  readonly reason: string
  /** No connection was made, so the server has seen nothing of the request. */
  readonly isRefused: boolean

  constructor(url: URL, reason: string, isRefused: boolean, cause: unknown) {
    const hint = isRefused ? ' Is the server running? Start one with: varve serve' : ''
    super(`no answer from ${nameOf(url)}: ${reason}.${hint}`, ExitCode.Failure, cause)
    this.reason = reason
    this.isRefused = isRefused
  }
}

/** One server, over connections that are kept. */
export class Client {
  readonly url: URL
  readonly #agent: Agent
  readonly #request: typeof requestHttp

  constructor(url: string) {
    this.url = new URL(url.endsWith('/') ? url : `${url}/`)
    const isSecure = this.url.protocol === 'https:'
    const options = { keepAlive: true, timeout: IDLE_MS }
    this.#agent = isSecure ? new SecureAgent(options) : new Agent(options)
    this.#request = isSecure ? requestHttps : requestHttp
  }

  /** @throws ProblemFailure on any status from 400 on @throws ConnectionFailure */
  async request(request: ClientRequest): Promise<Answer> {
    const answer = await this.#exchange(request)
    if (answer.status >= 300) throw problemOf(answer, this.url)
    return answer
  }

  /** @throws ProblemFailure @throws ConnectionFailure */
  async requestJson<Value>(request: ClientRequest): Promise<Value> {
    const { body } = await this.request(request)
    try {
      return JSON.parse(body.toString()) as Value
    } catch (error) {
      throw notVarve(this.url, error)
    }
  }

  /** Where `path` is on this server; the URL may have a path of its own. */
  locate(path: string, query: ClientRequest['query'] = {}): URL {
    const located = new URL(this.url)
    located.pathname += path
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) located.searchParams.set(name, String(value))
    }
    return located
  }

  close(): void {
    this.#agent.destroy()
  }

  #exchange({ method = 'GET', path, query, headers, body }: ClientRequest): Promise<Answer> {
    const { hostname, port, pathname, search } = this.locate(path, query)
    const length = body === undefined ? {} : { 'content-length': body.length }
    return new Promise((resolve, reject) => {
      const fail = (error: Error) => reject(unreachable(this.url, error))
      const outgoing = this.#request(
        {
          agent: this.#agent,
          method,
          hostname: hostname.replaceAll(/[[\]]/g, ''),
          port,
          path: pathname + search,
          headers: { ...headers, ...length },
        },
        incoming => {
          const chunks: Buffer[] = []
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
          incoming.on('error', fail)
          incoming.on('end', () => {
            const status = incoming.statusCode ?? 0
            resolve({ status, headers: incoming.headers, body: Buffer.concat(chunks) })
          })
        },
      )
      outgoing.on('error', fail)
      outgoing.end(body)
    })
  }
}

/** @throws CommandFailure when the server would refuse the name */
export function streamPath(stream: string, rest = ''): string {
  try {
    return `v1/streams/${encodeURIComponent(checkStreamName(stream))}${rest}`
  } catch (error) {
    const reason = (error as Error).message
    throw new CommandFailure(`${JSON.stringify(stream)}: ${reason}`, ExitCode.Usage, error)
  }
}

/** What a problem document says, in one line: code, detail, and what tells what to do. */
function describeProblem(problem: Problem): string {
  const facts = ['nextOffset', 'firstOffset', 'expectedSeq', 'outcome'].flatMap(name => {
    const value = problem[name]
    return typeof value === 'string' || typeof value === 'number' ? [`${name} ${value}`] : []
  })
  const more = facts.length === 0 ? '' : ` (${facts.join(', ')})`
  return `${problem.code}: ${problem.detail}${more}`
}

/** The problem that an answer carries. */
export function problemOf({ status, headers, body }: Answer, url: URL): CommandFailure {
  let value: unknown
  try {
    value = JSON.parse(body.toString())
  } catch {
    return notVarve(url, `it answered ${status}`)
  }
  const parsed = Problem.safeParse(value)
  if (!parsed.success) return notVarve(url, `it answered ${status}`)
  const seconds = Number(headers['retry-after'])
  return new ProblemFailure(parsed.data, seconds > 0 ? seconds * 1000 : undefined)
}

/** Why no answer came. */
export function unreachable(url: URL, error: Error): ConnectionFailure {
  const { code } = error as NodeJS.ErrnoException
  const refusal = REFUSED[code ?? '']
  const reason = refusal ?? `the connection was lost (${code ?? error.message})`
  return new ConnectionFailure(url, reason, refusal !== undefined, error)
}

function nameOf({ href }: URL): string {
  return href.replace(/\/$/, '')
}

const REFUSED: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name of the host could not be looked up',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
}

function notVarve(url: URL, cause: unknown): CommandFailure {
  const reason = typeof cause === 'string' ? cause : 'its answer cannot be read'
  return new CommandFailure(`${nameOf(url)} does not look like a Varve server: ${reason}`)
}
