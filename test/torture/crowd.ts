import { connect, type Socket } from 'node:net'
import { sleep, type Trial } from './trial.ts'

/** What a dribbler sends at a time, and how often. */
const DRIBBLE_BYTES = 16
const DRIBBLE_MS = 100
/** Time in which a crowd has to be connected. */
const CONNECT_MS = 10_000
/** Longest to wait until a client could send all of its body. */
const SEND_MS = 20_000
/** FIN and binary, then masked with a length of 64 bits. */
const FRAME_OPENING = [0x82, 0xff]

/** Raw connections of clients that do not behave. What they break is their own. */
export class Crowd {
  sentBytes = 0
  /** Clients that were connected and, where they had something to say, could say it. */
  reached = 0
  readonly #host: string
  readonly #port: number
  readonly #sockets: Socket[] = []
  readonly #timers: NodeJS.Timeout[] = []

  constructor(trial: Trial, url: string) {
    const { hostname, port } = new URL(url)
    this.#host = hostname
    this.#port = Number(port)
    trial.defer(() => this.close())
  }

  /** Connects `count` clients that send `text` and wait. */
  async open(count: number, text: string): Promise<void> {
    const sockets = await this.#connect(count)
    await Promise.all(sockets.map(socket => this.#write(socket, text)))
  }

  /** Sends the headers of a request without its body, and reads nothing. */
  request(count: number, line: string, headers: string): Promise<void> {
    return this.open(count, this.#head(line, headers))
  }

  /** Sends whole bodies at once and reads the answers. */
  async append(count: number, line: string, headers: string, bytes: number): Promise<void> {
    const head = this.#head(line, `${headers}\r\ncontent-length: ${bytes}`)
    const body = Buffer.alloc(bytes, 'x')
    const sockets = await this.#connect(count)
    for (const socket of sockets) socket.resume()
    await Promise.all(
      sockets.map(async socket => {
        await this.#write(socket, head)
        await this.#write(socket, body)
      }),
    )
  }

  /** Sends a body a few bytes at a time until it is closed. */
  async dribble(count: number, line: string, headers: string, bytes: number): Promise<void> {
    const head = this.#head(line, `${headers}\r\ncontent-length: ${bytes}`)
    const sockets = await this.#connect(count)
    await Promise.all(sockets.map(socket => this.#write(socket, head)))
    const part = Buffer.alloc(DRIBBLE_BYTES, 'x')
    const timer = setInterval(() => {
      for (const socket of sockets) if (socket.writable) socket.write(part)
    }, DRIBBLE_MS)
    this.#timers.push(timer)
  }

  /** Asks `times` on each connection and never reads an answer. */
  unread(count: number, line: string, times = 1, headers = 'accept: application/json') {
    return this.open(count, this.#head(line, headers).repeat(times))
  }

  /** Opens a WebSocket, then sends all of a large frame but its last byte. */
  async halfFrames(count: number, line: string, headers: string, bytes: number): Promise<void> {
    const opening = Buffer.alloc(14)
    opening.set(FRAME_OPENING)
    opening.writeBigUInt64BE(BigInt(bytes), 2)
    const part = Buffer.alloc(bytes - 1)
    const sockets = await this.#connect(count)
    for (const socket of sockets) socket.resume()
    await Promise.all(
      sockets.map(async socket => {
        await this.#write(socket, this.#head(line, headers))
        await sleep(DRIBBLE_MS)
        await this.#write(socket, opening)
        await this.#write(socket, part)
      }),
    )
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer)
    for (const socket of this.#sockets.splice(0)) socket.destroy()
  }

  async #connect(count: number): Promise<Socket[]> {
    const sockets = Array.from({ length: count }, () => {
      const socket = connect({ host: this.#host, port: this.#port })
      socket.pause()
      socket.on('error', () => undefined) // being cut off is what it asks for
      return socket
    })
    this.#sockets.push(...sockets)
    const connected = sockets.map(
      socket =>
        new Promise<void>(done => {
          socket.once('connect', () => {
            this.reached += 1
            done()
          })
          socket.once('close', () => done())
        }),
    )
    await Promise.race([Promise.all(connected), sleep(CONNECT_MS)])
    return sockets
  }

  /** Waits until it is sent, or the connection ends, or the service takes no more for long. */
  async #write(socket: Socket, bytes: string | Buffer): Promise<void> {
    if (bytes.length === 0 || socket.destroyed) return
    const sent = new Promise<void>(done => {
      socket.write(bytes, error => {
        if (error === undefined || error === null) this.sentBytes += bytes.length
        done()
      })
      socket.once('close', () => done())
    })
    await Promise.race([sent, sleep(SEND_MS)])
  }

  #head(line: string, headers: string): string {
    return `${line} HTTP/1.1\r\nhost: ${this.#host}:${this.#port}\r\n${headers}\r\n\r\n`
  }
}
