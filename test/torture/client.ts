import { Agent, request } from 'node:http'

/** Longest to wait for an answer before the request counts as hanging. */
const ANSWER_MS = 20_000

export type Json = Readonly<Record<string, unknown>>

export type Answer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
  /** The body as a JSON object, or an empty one. */
  readonly json: Json
}

export type Append = {
  readonly records: readonly Json[]
  readonly query?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** No answer came: the connection broke, or `hung` past the limit. What became of it is open. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
  readonly hung: boolean

  constructor(message: string, hung: boolean) {
    super(message)
    this.hung = hung
  }
}

/** Speaks the public contract over node:http, with nothing of the project in between. */
export class Client {
  readonly url: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 })

  constructor(url: string) {
    this.url = url
  }

  get(path: string): Promise<Answer> {
    return this.send('GET', path)
  }

  post(path: string, value: unknown, headers: Readonly<Record<string, string>> = {}) {
    const body = value === undefined ? undefined : JSON.stringify(value)
    return this.send('POST', path, body, { 'content-type': 'application/json', ...headers })
  }

  append(stream: string, { records, query = '', headers = {} }: Append): Promise<Answer> {
    return this.post(`${streamPath(stream)}/records${query}`, { records }, headers)
  }

  /** @throws NoAnswer */
  send(
    method: string,
    path: string,
    body?: string | Buffer,
    headers: Readonly<Record<string, string>> = {},
    limitMs: number = ANSWER_MS,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      let hung = false
      const length = body === undefined ? {} : { 'content-length': `${Buffer.byteLength(body)}` }
      const outgoing = request(
        `${this.url}${path}`,
        { method, agent: this.#agent, headers: { ...headers, ...length } },
        incoming => {
          const chunks: Buffer[] = []
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
          incoming.once('error', fail)
          incoming.once('end', () => {
            clearTimeout(timer)
            resolve(answerOf(incoming.statusCode ?? 0, incoming.headers, Buffer.concat(chunks)))
          })
        },
      )
      const timer = setTimeout(() => {
        hung = true
        outgoing.destroy(new Error(`${method} ${path} had no answer within ${limitMs} ms`))
      }, limitMs)
      const fail = (error: Error) => {
        clearTimeout(timer)
        reject(new NoAnswer(error.message, hung))
      }
      outgoing.once('error', fail)
      outgoing.end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

export function streamPath(stream: string): string {
  return `/v1/streams/${encodeURIComponent(stream)}`
}

/** What an answer says when it is not the expected one, short enough for a finding. */
export function describe({ status, json, body }: Answer): string {
  const { code, detail } = json
  if (typeof code !== 'string') return `${status} ${body.subarray(0, 120).toString()}`
  return `${status} ${code}: ${String(detail).slice(0, 200)}`
}

function answerOf(status: number, headers: Answer['headers'], body: Buffer): Answer {
  let json: Json = {}
  if (/json/.test(String(headers['content-type']))) {
    try {
      json = JSON.parse(body.toString()) as Json
    } catch {
      // A body cut off by the server's death; whoever reads it finds its fields missing.
    }
  }
  return { status, headers, body, json }
}
