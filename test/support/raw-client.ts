import { connect, type Socket } from 'node:net'
import { until } from './memory-store.ts'

/** A connection on which bytes are sent as they are, and whose answers are kept. */
export class RawClient {
  readonly socket: Socket
  readonly closed: Promise<void>
  #answer = ''

  /** @param allowHalfOpen keeps this side open when the server ends its own */
  constructor(url: string, { allowHalfOpen = false } = {}) {
    const { port, hostname: host } = new URL(url)
    this.socket = connect({ port: Number(port), host, allowHalfOpen })
    this.socket.setEncoding('latin1').on('data', (text: string) => {
      this.#answer += text
    })
    this.socket.on('error', () => undefined)
    this.closed = new Promise(resolve => {
      this.socket.on('close', () => resolve())
    })
  }

  /** Everything that came back. */
  get answer(): string {
    return this.#answer
  }

  /** Statuses of all answers, in their order. */
  get statuses(): number[] {
    return [...this.#answer.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status))
  }

  send(bytes: string | Buffer): this {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
    return this
  }

  /** Resolves once so many answers have begun. */
  async answers(count: number): Promise<number[]> {
    await until(() => this.statuses.length >= count)
    return this.statuses
  }
}

/** The head of a POST of a text to the stream `a`. */
export function appendHead(...headers: readonly string[]): string {
  const lines = ['Host: localhost', 'Content-Type: text/plain', ...headers]
  return `POST /v1/streams/a/records HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`
}

/** One whole append of a text. */
export function append(text: string, ...headers: readonly string[]): string {
  return appendHead(`Content-Length: ${text.length}`, ...headers) + text
}

/** A whole request without a body. */
export function get(target: string, ...headers: readonly string[]): string {
  return `GET ${target} HTTP/1.1\r\n${['Host: localhost', ...headers].join('\r\n')}\r\n\r\n`
}
