import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'

export type ScriptedRequest = {
  readonly method: string
  /** Path and query. */
  readonly target: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** What a script says to a request; 'reset' breaks the connection. */
export type ScriptedAnswer =
  | 'reset'
  | {
      readonly status?: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body: unknown
    }

/** A server that answers as a test says, closed when `run` is done. Returns what it was asked. */
export async function withScript(
  answer: (request: ScriptedRequest, index: number) => ScriptedAnswer | Promise<ScriptedAnswer>,
  run: (url: string) => Promise<void>,
): Promise<ScriptedRequest[]> {
  const requests: ScriptedRequest[] = []
  const server = createServer((incoming, outgoing) => {
    void read(incoming)
      .then(async request => {
        requests.push(request)
        reply(outgoing, await answer(request, requests.length - 1))
      })
      .catch(() => outgoing.destroy())
  })
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  try {
    await run(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
  return requests
}

/** The answer to an append of `count` records that got `firstOffset`. */
export function appended(firstOffset: number, count: number, durable = true): ScriptedAnswer {
  const nextOffset = firstOffset + count
  return { body: { firstOffset, nextOffset, count, durable, duplicate: false } }
}

/** A problem document. */
export function problem(
  status: number,
  code: string,
  fields: Readonly<Record<string, unknown>> = {},
): ScriptedAnswer {
  const common = { type: 'about:blank', title: code, status, code, detail: `${code} happened` }
  const body = { ...common, retryable: status === 429 || status === 503, ...fields }
  return { status, headers: { 'retry-after': '1' }, body }
}

async function read(incoming: IncomingMessage): Promise<ScriptedRequest> {
  const body = Buffer.concat((await incoming.toArray()) as Buffer[])
  const { method = '', url: target = '', headers } = incoming
  return { method, target, headers, body }
}

function reply(outgoing: ServerResponse, answer: ScriptedAnswer): void {
  if (answer === 'reset') return void outgoing.destroy()
  const { status = 200, headers = {}, body } = answer
  outgoing.writeHead(status, headers).end(Buffer.isBuffer(body) ? body : JSON.stringify(body))
}
