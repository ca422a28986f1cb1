import { WebSocket } from 'ws'
import type { RecordObject } from '../../src/shared/schemas/read.ts'

export type TailMessage = {
  type: 'records' | 'live' | 'heartbeat' | 'closed' | 'error'
  nextOffset?: number
  firstOffset?: number
  streamId?: string
  lastHash?: string | null
  records?: RecordObject[]
  code?: string
  status?: number
}

/** A subscriber at a WebSocket that keeps what it hears. */
export class TailClient {
  readonly messages: TailMessage[] = []
  readonly binary: Buffer[] = []
  readonly socket: WebSocket
  readonly closed: Promise<number>
  #changed: () => void = () => undefined

  constructor(url: string, stream: string, query = '', headers: Record<string, string> = {}) {
    const path = `/v1/streams/${encodeURIComponent(stream)}/tail${query}`
    this.socket = new WebSocket(url.replace('http', 'ws') + path, { headers })
    this.socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (isBinary) this.binary.push(data)
      else this.messages.push(JSON.parse(data.toString()) as TailMessage)
      this.#changed()
    })
    this.socket.on('error', () => undefined)
    this.closed = new Promise(resolve => {
      this.socket.on('close', code => resolve(code))
    })
  }

  /** The answer to an upgrade that is refused. */
  static refusal(
    url: string,
    stream: string,
    query = '',
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: { code?: string } }> {
    const client = new TailClient(url, stream, query, headers)
    return new Promise((resolve, reject) => {
      client.socket.on('open', () => reject(new Error('the upgrade was accepted')))
      client.socket.on('unexpected-response', (_request, response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => {
          text += chunk.toString()
        })
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as { code?: string } })
        })
      })
    })
  }

  get offsets(): number[] {
    return this.messages.flatMap(({ records = [] }) => records.map(({ offset }) => offset))
  }

  get types(): string[] {
    return this.messages.map(({ type }) => type)
  }

  async until(condition: (client: this) => boolean): Promise<void> {
    while (!condition(this)) {
      await new Promise<void>(resolve => {
        this.#changed = resolve
      })
    }
  }

  live(): Promise<void> {
    return this.until(({ types }) => types.includes('live'))
  }
}
