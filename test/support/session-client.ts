import { WebSocket } from 'ws'
import type { Problem } from '../../src/shared/schemas/problem.ts'
import type { AppendAnswer } from '../../src/shared/schemas/append.ts'
import { until } from './memory-store.ts'

export type TextAnswer = {
  readonly id: string | number | null
  readonly ok?: AppendAnswer
  readonly error?: Problem & { readonly outcome?: string; readonly nextOffset?: number }
}

export type BinaryAnswer = {
  readonly id: number
  readonly status: number
  readonly reserved: number
  readonly firstOffset: number
  readonly nextOffset: number
  readonly problem?: TextAnswer['error']
}

/** Fields of a binary request; what is left out is not asked for. */
export type BinaryRequest = {
  readonly id: number
  readonly stream: string | Buffer
  readonly batch: Buffer
  readonly flags?: number
  readonly expectedOffset?: bigint
  readonly producer?: { readonly id: string; readonly epoch: bigint; readonly seq: bigint }
}

/** A client of the append session that keeps what it is answered. */
export class SessionClient {
  readonly answers: (TextAnswer | BinaryAnswer)[] = []
  /** Messages as they came. */
  readonly raw: string[] = []
  readonly socket: WebSocket
  readonly closed: Promise<number>

  constructor(url: string, query = '', headers: Record<string, string> = {}) {
    this.socket = new WebSocket(`${url.replace('http', 'ws')}/v1/session${query}`, { headers })
    this.socket.on('message', (data: Buffer, isBinary: boolean) => {
      this.raw.push(data.toString('latin1'))
      this.answers.push(isBinary ? readAnswer(data) : (JSON.parse(data.toString()) as TextAnswer))
    })
    this.socket.on('error', () => undefined)
    this.closed = new Promise(resolve => {
      this.socket.on('close', code => resolve(code))
    })
  }

  static async open(url: string): Promise<SessionClient> {
    const client = new SessionClient(url)
    await new Promise((resolve, reject) => {
      client.socket.once('open', resolve)
      client.socket.once('error', reject)
    })
    return client
  }

  /** The answer to an upgrade that is refused. */
  static refusal(url: string, query = '', headers: Record<string, string> = {}) {
    const client = new SessionClient(url, query, headers)
    return new Promise<{ status: number; code?: string }>((resolve, reject) => {
      client.socket.on('open', () => reject(new Error('the upgrade was accepted')))
      client.socket.on('unexpected-response', (_request, response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => {
          text += chunk.toString()
        })
        response.on('end', () => {
          const { code } = JSON.parse(text) as { code: string }
          resolve({ status: response.statusCode ?? 0, code })
        })
      })
    })
  }

  get ids(): (string | number | null)[] {
    return this.answers.map(({ id }) => id)
  }

  /** Sends text as it is, or an object as JSON. */
  text(message: string | object): void {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message))
  }

  /** One append of text records in JSON. */
  append(id: string | number, stream: string, more: object = {}): void {
    this.text({ id, op: 'append', stream, records: [{ text: String(id) }], ...more })
  }

  binary(message: BinaryRequest | Buffer): void {
    this.socket.send(Buffer.isBuffer(message) ? message : binaryRequest(message))
  }

  /** The answer at a place, once it is there. */
  async answer(at: number): Promise<TextAnswer | BinaryAnswer> {
    await this.until(at + 1)
    return this.answers[at] as TextAnswer | BinaryAnswer
  }

  until(count: number): Promise<void> {
    return until(() => this.answers.length >= count)
  }
}

/** By the layout of api.md, without the code that is tested. */
export function binaryRequest(request: BinaryRequest): Buffer {
  const { id, stream, batch, flags = 0, expectedOffset = -1n, producer } = request
  const name = Buffer.from(stream)
  const header = Buffer.alloc(16)
  header.writeUInt32LE(id, 0)
  header.writeUInt16LE(name.length, 4)
  header.writeUInt16LE(flags | (producer === undefined ? 0 : 4), 6)
  header.writeBigInt64LE(expectedOffset, 8)
  return Buffer.concat([header, name, producerSection(producer), batch])
}

function producerSection(producer: BinaryRequest['producer']): Buffer {
  if (producer === undefined) return Buffer.alloc(0)
  const id = Buffer.from(producer.id)
  const section = Buffer.alloc(18)
  section.writeBigUInt64LE(producer.epoch, 0)
  section.writeBigUInt64LE(producer.seq, 8)
  section.writeUInt16LE(id.length, 16)
  return Buffer.concat([section, id])
}

function readAnswer(bytes: Buffer): BinaryAnswer {
  const problem = bytes.subarray(24).toString()
  return {
    id: bytes.readUInt32LE(0),
    status: bytes.readUInt16LE(4),
    reserved: bytes.readUInt16LE(6),
    firstOffset: Number(bytes.readBigUInt64LE(8)),
    nextOffset: Number(bytes.readBigUInt64LE(16)),
    ...(problem === '' ? {} : { problem: JSON.parse(problem) as NonNullable<TextAnswer['error']> }),
  }
}
