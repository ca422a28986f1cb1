import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** Also the time that a new connection has to say something once the close has begun. */
const POLL_MS = 100

/**
 * The connections of a server, for its end: those without a request under way are closed, and so
 * is, after a time, what is left. Node's own close waits for a client that connected and is silent,
 * and for one whose last answer went out after the close began.
 */
export class Connections {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  constructor(server: Server) {
    this.#server = server
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
  }

  /** Runs `close`, which stops the listening, and sees to it that it ends. */
  async drain(close: () => Promise<void>, graceMs: number): Promise<void> {
    const poll = setInterval(() => this.#closeIdle(), POLL_MS)
    const deadline = setTimeout(() => this.#closeAll(), graceMs)
    try {
      await close()
    } finally {
      clearInterval(poll)
      clearTimeout(deadline)
    }
  }

  #closeIdle(): void {
    this.#server.closeIdleConnections()
    for (const socket of this.#sockets) if (socket.bytesRead === 0) socket.destroy()
  }

  #closeAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}
