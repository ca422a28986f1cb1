import { WebSocket } from 'ws'
import { streamPath } from './client.ts'
import { digestOf } from './ledger.ts'

type Message = {
  readonly type: string
  readonly firstOffset?: number
  readonly nextOffset?: number
  readonly records?: readonly Readonly<Record<string, unknown>>[]
}

/** Follows a stream over a WebSocket and holds what it gets: dense, in order, without repeats. */
export class Tail {
  readonly stream: string
  /** Digests by offset, from where it began. */
  readonly digests: string[] = []
  readonly faults: string[] = []
  readonly #from: number
  #socket: WebSocket | undefined

  private constructor(stream: string, from: number) {
    this.stream = stream
    this.#from = from
  }

  static async open(url: string, stream: string, from: number): Promise<Tail> {
    const tail = new Tail(stream, from)
    await tail.reopen(url)
    return tail
  }

  get nextOffset(): number {
    return this.#from + this.digests.length
  }

  get isOver(): boolean {
    return this.#socket === undefined || this.#socket.readyState >= WebSocket.CLOSING
  }

  /** Goes on where it stands; a refusal before the upgrade leaves it over. */
  async reopen(url: string): Promise<void> {
    const path = `${streamPath(this.stream)}/tail?from=${this.nextOffset}`
    const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`)
    this.#socket = socket
    socket.on('message', (data: Buffer) => this.#take(JSON.parse(data.toString()) as Message))
    await new Promise<void>(done => {
      socket.once('open', () => done())
      socket.once('close', () => done())
      socket.on('error', () => done())
    })
  }

  close(): void {
    this.#socket?.terminate()
  }

  #take({ type, firstOffset = 0, nextOffset = 0, records = [] }: Message): void {
    if (type === 'records') {
      if (firstOffset !== this.nextOffset) {
        this.faults.push(`records from ${firstOffset} came after ${this.nextOffset}`)
        return
      }
      this.digests.push(...records.map(digestOf))
    } else if (type === 'live' && nextOffset > this.nextOffset) {
      this.faults.push(`live at ${nextOffset} without the records from ${this.nextOffset} on`)
    }
  }
}
