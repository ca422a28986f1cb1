import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { checkAppend } from './replies.ts'

const READ_BUFFER_BYTES = 64 * 1024
const HEAD_END = '\r\n\r\n'
const ID_FIRST = 1_000_000_000
const ITEM_HEADER_BYTES = 8
const REQUEST_HEADER_BYTES = 16
const ANSWER_BYTES = 24
const SAMPLE_EVERY = 32
const TEXT = 0x81
const BINARY = 0x82
/** RFC 6455 wants one of a client; the server takes it off whatever it is. */
const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d])

export type SessionFormat = 'binary' | 'json'

/**
 * A WebSocket at the append session, as bytes: prebuilt frames out, and of what comes back as much
 * is read as tells that every append was applied once, in order.
 */
export class SessionClient {
  readonly #socket: Socket
  readonly #format: SessionFormat
  readonly #frame: Buffer
  readonly #idAt: number
  readonly #fail: (error: Error) => void
  #pending = Buffer.alloc(0)
  #isOpen = false
  #isClosing = false
  #sent = 0
  #answered = 0
  #onAnswers: (count: number) => void = () => undefined
  #onOpen: () => void = () => undefined

  private constructor(
    port: number,
    stream: string,
    format: SessionFormat,
    body: Buffer,
    fail: Fail,
  ) {
    this.#format = format
    this.#fail = fail
    const { frame, idAt } =
      format === 'binary' ? binaryFrame(stream, body) : textFrame(stream, body)
    this.#frame = frame
    this.#idAt = idAt
    const callback = (length: number, bytes: Uint8Array) => this.#take(bytes, length)
    const onread = { buffer: Buffer.allocUnsafe(READ_BUFFER_BYTES), callback }
    this.#socket = connect({ host: '127.0.0.1', port, noDelay: true, onread })
    this.#socket.on('error', error => this.#end(error))
    this.#socket.on('close', () => this.#end(new Error('the connection was closed')))
  }

  /** @param fail called at most once, for a wrong answer or a lost connection */
  static async open(
    port: number,
    stream: string,
    format: SessionFormat,
    body: Buffer,
    fail: Fail,
  ): Promise<SessionClient> {
    const client = new SessionClient(port, stream, format, body, fail)
    await once(client.#socket, 'connect')
    const opened = new Promise<void>(resolve => {
      client.#onOpen = resolve
    })
    client.#socket.write(
      `GET /v1/session HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\n` +
        'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
        `Sec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}${HEAD_END}`,
    )
    await opened
    return client
  }

  get answered(): number {
    return this.#answered
  }

  /** `onAnswers` is told how many answers came together. */
  start(onAnswers: (count: number) => void): void {
    this.#onAnswers = onAnswers
  }

  /** So many appends, in one write. */
  send(count: number): void {
    const bytes = Buffer.allocUnsafe(count * this.#frame.length)
    for (let at = 0; at < bytes.length; at += this.#frame.length) {
      this.#frame.copy(bytes, at)
      writeId(bytes, at + this.#idAt, this.#format, this.#sent)
      this.#sent += 1
    }
    this.#socket.write(bytes)
  }

  close(): void {
    this.#isClosing = true
    this.#socket.destroy()
  }

  #take(bytes: Uint8Array, length: number): boolean {
    try {
      const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, length)
      const all = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk])
      const taken = this.#isOpen ? this.#takeFrames(all) : this.#takeHead(all)
      // The read buffer is used again.
      this.#pending = Buffer.from(all.subarray(taken))
    } catch (error) {
      this.#end(error as Error)
    }
    return true
  }

  #takeHead(bytes: Buffer): number {
    const text = bytes.latin1Slice()
    const end = text.indexOf(HEAD_END)
    if (end === -1) return 0
    if (!text.startsWith('HTTP/1.1 101 ')) throw new Error(`answered ${text.slice(0, 600)}`)
    this.#isOpen = true
    this.#onOpen()
    return end + HEAD_END.length
  }

  #takeFrames(bytes: Buffer): number {
    let at = 0
    let count = 0
    while (at + 4 <= bytes.length) {
      const short = bytes[at + 1] as number
      const bodyAt = at + (short === 126 ? 4 : 2)
      const end = bodyAt + (short === 126 ? bytes.readUInt16BE(at + 2) : short)
      if (end > bytes.length) break
      this.#check(bytes, bytes[at] as number, bodyAt, end)
      this.#answered += 1
      count += 1
      at = end
    }
    if (count > 0) this.#onAnswers(count)
    return at
  }

  /** The stream is this client's alone, so the offsets are its count. */
  #check(bytes: Buffer, opcode: number, at: number, end: number): void {
    if (opcode === BINARY && this.#format === 'binary' && end - at === ANSWER_BYTES) {
      const isRight =
        bytes.readUInt32LE(at) === this.#answered &&
        bytes.readUInt16LE(at + 4) === 200 &&
        Number(bytes.readBigUInt64LE(at + 8)) === this.#answered &&
        Number(bytes.readBigUInt64LE(at + 16)) === this.#answered + 1
      if (isRight) return
    } else if (opcode === TEXT && this.#format === 'json') {
      const text = bytes.latin1Slice(at, end)
      const opening = `{"id":${ID_FIRST + this.#answered},"ok":`
      const isSampled = this.#answered % SAMPLE_EVERY === 0
      if (text.startsWith(opening)) {
        if (isSampled) checkAppend(text.slice(opening.length, -1), 1)
        return
      }
    }
    throw new Error(`answered ${bytes.latin1Slice(at, end)}`)
  }

  #end(error: Error): void {
    if (this.#isClosing) return
    this.close()
    this.#fail(error)
  }
}

type Fail = (error: Error) => void

type Frame = { readonly frame: Buffer; readonly idAt: number }

function binaryFrame(stream: string, body: Buffer): Frame {
  const header = Buffer.alloc(REQUEST_HEADER_BYTES)
  header.writeUInt16LE(stream.length, 4)
  header.writeBigInt64LE(-1n, 8)
  const item = Buffer.alloc(ITEM_HEADER_BYTES)
  item.writeUInt32LE(body.length, 0)
  return frameOf(BINARY, Buffer.concat([header, Buffer.from(stream), item, body]), 0)
}

function textFrame(stream: string, body: Buffer): Frame {
  const records = [{ text: body.toString() }]
  const text = JSON.stringify({ id: ID_FIRST, op: 'append', stream, records })
  return frameOf(TEXT, Buffer.from(text), text.indexOf(String(ID_FIRST)))
}

function frameOf(opcode: number, payload: Buffer, idAt: number): Frame {
  const header = Buffer.alloc(4)
  header[0] = opcode
  header[1] = 0x80 | 126
  header.writeUInt16BE(payload.length, 2)
  if (payload.length < 126) throw new Error('a frame this short has another header')
  const masked = payload.map((byte, at) => byte ^ (MASK[at & 3] as number))
  const frame = Buffer.concat([header, MASK, masked])
  return { frame, idAt: frame.length - payload.length + idAt }
}

/** Over the one that is there, masked as it is. */
function writeId(bytes: Buffer, at: number, format: SessionFormat, id: number): void {
  const length = format === 'binary' ? bytes.writeUInt32LE(id, at) - at : 10
  if (format === 'json') bytes.latin1Write(String(ID_FIRST + id), at)
  const shift = format === 'binary' ? 0 : JSON_ID_SHIFT
  for (let byte = 0; byte < length; byte += 1) {
    bytes[at + byte] = (bytes[at + byte] as number) ^ (MASK[(byte + shift) & 3] as number)
  }
}

/** Place of the id in the text, `{"id":`, in terms of the mask. */
const JSON_ID_SHIFT = '{"id":'.length & 3
